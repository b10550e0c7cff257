"""LoRA adapters of models in transformers, added to their weights once and for all."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from adafuse.errors import LoadError, MissingExtraError

__all__ = ["with_adapters"]


def with_adapters(model: PreTrainedModel, paths: Sequence[str], name: str) -> PreTrainedModel:
    """The model with adapters that PEFT saved, in folders; each adds to the weights in turn.

    Raises:
        MissingExtraError: PEFT is not installed.
        LoadError: an adapter is no such folder, or another model's.
    """
    for path in paths:
        folder = Path(path).expanduser()
        if not (folder / "adapter_config.json").is_file():
            raise LoadError(
                f"member {name!r}: the LoRA adapter {path} is no folder with an "
                "adapter_config.json, as PEFT saves it"
            )
        try:
            peft = import_module("peft")
        except ImportError as error:
            raise MissingExtraError(f"the LoRA adapter of member {name!r}", "lora") from error
        try:
            adapted: Any = peft.PeftModel.from_pretrained(model, str(folder))
            model = adapted.merge_and_unload()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise LoadError(
                f"member {name!r}: the LoRA adapter {path} cannot be used: {reason}"
            ) from error
    return model
