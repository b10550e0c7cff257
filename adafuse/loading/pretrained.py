"""Models of transformers: what is refused of a checkpoint, and its weights read."""

from __future__ import annotations

import warnings
from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from adafuse.errors import LoadError, UnsupportedModelError
from adafuse.loading.adapters import with_adapters
from adafuse.loading.sources import Source
from adafuse.local.tree_masks import Layout
from adafuse.spec import MemberSpec

__all__ = ["load_model", "refuse_architecture"]


def refuse_architecture(name: str, config: PreTrainedConfig) -> None:
    """Refuse what cannot decode, before its weights are read."""
    mapping = MODEL_FOR_CAUSAL_LM_MAPPING
    if getattr(config, "is_encoder_decoder", False) or (
        type(config) not in mapping and not getattr(config, "auto_map", None)
    ):
        raise UnsupportedModelError(
            f"member {name!r}: {config.model_type} is no causal language model"
        )
    if type(config) in mapping:
        classes: Any = mapping[type(config)]
        Layout.of(classes[0] if isinstance(classes, tuple) else classes, config, name)


def load_model(
    name: str, spec: MemberSpec, source: Source, placement: dict[str, Any]
) -> PreTrainedModel:
    """Read the weights, and add adapters to them; LoadError where some are missing."""
    arguments = {**source.arguments, **placement, "output_loading_info": True}
    if not source.gguf:
        arguments["use_safetensors"] = True
    read: Any = AutoModelForCausalLM.from_pretrained
    attention = spec.attn_implementation
    try:
        model, info = read(source.place, attn_implementation=attention, **arguments)
    except ValueError as error:
        if attention == "eager" or "scaled_dot_product_attention" not in str(error):
            raise
        warnings.warn(f"member {name!r} has no sdpa attention; using 'eager'", stacklevel=2)
        model, info = read(source.place, attn_implementation="eager", **arguments)
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise LoadError(
            f"member {name!r} ({spec.model}): the checkpoint lacks {len(missing)} weights of its "
            f"architecture, such as {missing[0]}"
        )
    return with_adapters(model, spec.lora, name)
