"""Loading members: from hub ids, local folders and GGUF files to models on their devices.

Nothing from a checkpoint is executed: no remote code unless asked for, no pickles.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from adafuse.errors import (
    AdaFuseError,
    ConfigError,
    LoadError,
    LoadMemoryError,
    ModelNotFoundError,
    UnsafeCheckpointError,
    UnsupportedModelError,
)
from adafuse.loading.checkpoints import refuse_without_weights
from adafuse.loading.costs import kept_curve
from adafuse.loading.dtypes import ChosenDtype, default_dtype, stored_dtype
from adafuse.loading.hub import locate
from adafuse.loading.identity import identify
from adafuse.loading.quantisation import refuse_without_reader
from adafuse.loading.sources import Source, model_source, tokenizer_source
from adafuse.local.cost_curve import CostCurve
from adafuse.local.forward_cost import measure
from adafuse.local.member import LocalMember
from adafuse.local.model_runner import Layout, ModelRunner
from adafuse.local.tree_check import prepare
from adafuse.memory import free_bytes, weight_bytes
from adafuse.spec import MemberSpec, names_of

__all__ = ["load_members"]

_log = logging.getLogger("adafuse.loading")  # the name that docs/telemetry.md gives
# Members with the same checkpoint share its weights for as long as any of them is alive.
_shared: weakref.WeakValueDictionary[tuple[str, ...], ModelRunner] = weakref.WeakValueDictionary()
_loading = threading.Lock()
# What transformers says of it, not a path that happens to hold the words.
_REMOTE_CODE = re.compile(r"custom code .* pass the argument `trust_remote_code=True`")


def load_members(
    specs: Sequence[MemberSpec], *, device: str | None = None, dtype: str | None = None
) -> list[LocalMember]:
    """Load members; those that share a checkpoint, device and dtype share its weights.

    Args:
        device: for specifications that name neither a device nor a device_map; default CUDA if
            there is one, else the CPU.
        dtype: likewise; default: see `MemberSpec`.

    Raises:
        ConfigError: a device or dtype that does not exist.
        LoadError: see `adafuse.errors`; the message names the member.
    """
    specs = [
        replace(
            spec,
            dtype=spec.dtype if spec.dtype is not None else dtype,
            device=spec.device if spec.device is not None or spec.device_map else device,
        )
        for spec in specs
    ]
    names = names_of(specs)
    models = [model_source(spec, spec.model) for spec in specs]  # refuse all before loading any
    tokenizers = list(map(tokenizer_source, specs, models))
    placements = [_placement(spec) for spec in specs]
    plans: list[_Plan] = []
    for row in zip(names, specs, models, tokenizers, placements, strict=True):
        with _loading, _load_errors(row[0], row[1]):
            plans.append(_plan_member(*row, planned={plan.key for plan in plans}))
    _check_memory(plans)
    members = []
    for plan in plans:
        with _loading, _load_errors(plan.name, plan.spec):
            members.append(_load_member(plan))
        dtype = str(members[-1].runner.model.dtype).removeprefix("torch.")
        _log.info("member %r is loaded: %s, %s", plan.name, dtype, plan.dtype.reason)
    return members


@dataclass(frozen=True, slots=True)
class _Plan:
    """A member that is checked and not loaded yet."""

    name: str
    spec: MemberSpec
    key: tuple[str, ...]  # the same for members that share weights
    source: Source  # of its model
    placement: dict[str, Any]  # keyword arguments for its weights
    dtype: ChosenDtype
    tokenizer: PreTrainedTokenizerBase
    runner: ModelRunner | None  # of its model, if that is in use already; else
    config: PreTrainedConfig | None


def _plan_member(
    name: str,
    spec: MemberSpec,
    model: Source,
    tokenizer: Source,
    placement: dict[str, Any],
    *,
    planned: Collection[tuple[str, ...]],
) -> _Plan:
    """Check all that can be told of a member without its weights; read its tokenizer."""
    source = locate(model, weights=True, tokenizer=spec.tokenizer is None)
    tokens = source if spec.tokenizer is None else locate(tokenizer, weights=False, tokenizer=True)
    config: PreTrainedConfig | None = None
    if not source.gguf:
        config = AutoConfig.from_pretrained(source.place, **source.arguments)
    dtype = _dtype(spec, config, on_cpu="device_map" not in placement)
    placement = {"dtype": dtype.dtype, **placement}
    key = (source.identity, repr(sorted(placement.items())), spec.attn_implementation)
    runner = _shared.get(key)
    if runner is not None or key in planned:
        config = None
    else:
        config = config or AutoConfig.from_pretrained(source.place, **source.arguments)
        _refuse_architecture(name, config)
        where = f"member {name!r} ({spec.model})"
        refuse_without_reader(where, spec.quantization_config, config)
        if source.is_local and not source.gguf:
            folder = Path(source.place)
            files = [path.name for path in folder.iterdir() if path.is_file()]
            refuse_without_weights(where, files, lambda file: (folder / file).read_text("utf-8"))
    read = AutoTokenizer.from_pretrained(tokens.place, **tokens.arguments, **spec.tokenizer_kwargs)
    return _Plan(name, spec, key, source, placement, dtype, read, runner, config)


def _check_memory(plans: Sequence[_Plan]) -> None:
    """Refuse weights that a device has no room for.

    What is quantised, or put in several places by accelerate, has a size that only reading tells.
    """
    needed: dict[torch.device, dict[str, int]] = {}
    for plan in plans:
        config, spec = plan.config, plan.spec
        supported = config is not None and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
        measurable = spec.device_map is None and spec.quantization_config is None
        if config is None or not (supported and measurable and spec.check_memory):
            continue
        if getattr(config, "quantization_config", None) is not None:
            continue
        dtype = plan.dtype.dtype
        if not isinstance(dtype, torch.dtype):
            dtype = stored_dtype(config) or torch.bfloat16
        device = torch.device(plan.placement.get("device_map", {"": "cpu"})[""])
        with _load_errors(plan.name, spec):
            needed.setdefault(device, {})[plan.name] = weight_bytes(config, dtype)
    for device, sizes in needed.items():
        free = free_bytes(device)
        if free is not None and sum(sizes.values()) > free:
            needs = ", ".join(f"{name!r} {size / 2**20:,.0f} MiB" for name, size in sizes.items())
            raise LoadMemoryError(
                f"the weights would take {needs} on {str(device)!r}, where {free / 2**20:,.0f} MiB "
                "are free; use a narrower dtype such as 'bfloat16', a smaller model, another "
                "device, or check_memory=False in a specification to try all the same"
            )


def _load_member(plan: _Plan) -> LocalMember:
    """Load a member's weights, unless another one has loaded them."""
    runner = plan.runner or _shared.get(plan.key)
    if runner is None:
        runner = prepare(_load_model(plan), plan.name)
        runner.cost_curve = _cost_curve(plan, runner)
        _shared[plan.key] = runner
    names = ["weight", "chat_template", "chat_template_kwargs", "prompt_cache_mb", "check_memory"]
    options: dict[str, Any] = {name: getattr(plan.spec, name) for name in names}
    return LocalMember(runner, plan.tokenizer, plan.name, **options)


def _cost_curve(plan: _Plan, runner: ModelRunner) -> CostCurve | None:
    """What its forwards cost; None where that cannot be measured, which is for decoding to meet."""
    content = identify(plan.spec).content or plan.source.identity
    options = repr(plan.key[1:])
    try:
        return kept_curve(content, options, runner.model.device, lambda: measure(runner))
    except (RuntimeError, ValueError):  # no memory for the widest one, or a tiny window
        return None


def _dtype(spec: MemberSpec, config: PreTrainedConfig | None, *, on_cpu: bool) -> ChosenDtype:
    """The dtype that a specification names, else the default of its checkpoint."""
    if spec.dtype is None:
        return default_dtype(config, on_cpu=on_cpu)
    asked = spec.dtype if spec.dtype == "auto" else getattr(torch, spec.dtype)
    return ChosenDtype(asked, f"as dtype={spec.dtype!r} asks")


def _placement(spec: MemberSpec) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` that say where the weights are.

    ConfigError for a device or a dtype that does not exist.
    """
    device = spec.device
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        target = torch.device(device)
        if spec.device_map is None:
            torch.empty(0, device=target)
    except (RuntimeError, AssertionError):  # the latter from builds without that backend
        raise ConfigError(f"member {spec.model!r}: there is no device {device!r} here") from None
    on_cpu = target.type == "cpu" and spec.device_map is None
    dtype = spec.dtype or "auto"
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ConfigError(f"member {spec.model!r}: there is no dtype {dtype!r}, such as 'bfloat16'")
    placement: dict[str, Any] = {}
    if spec.quantization_config is not None:
        placement["quantization_config"] = spec.quantization_config
    if not on_cpu:  # accelerate puts the weights where they belong while it reads them
        placement["device_map"] = spec.device_map if spec.device_map is not None else {"": device}
    return placement


def _refuse_architecture(name: str, config: PreTrainedConfig) -> None:
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


def _load_model(plan: _Plan) -> PreTrainedModel:
    name, spec, source = plan.name, plan.spec, plan.source
    arguments = {**source.arguments, **plan.placement, "output_loading_info": True}
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
    loaded: PreTrainedModel = model
    return loaded


@contextmanager
def _load_errors(name: str, spec: MemberSpec) -> Iterator[None]:
    """Turn the errors of transformers into one line that names the member."""
    where = f"member {name!r} ({spec.model})"
    try:
        yield
    except AdaFuseError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ValueError) and _REMOTE_CODE.search(reason):
            raise UnsafeCheckpointError(
                f"{where} brings its own code, which is not run; set trust_remote_code=True in "
                "its specification if you trust it"
            ) from error
        if isinstance(error, OSError) and "use_safetensors=True" in reason:
            raise UnsafeCheckpointError(
                f"{where} has no safetensors checkpoint; pickle files are not loaded, since "
                "loading one runs code from it"
            ) from error
        if isinstance(error, OSError):
            raise ModelNotFoundError(f"{where} cannot be read: {reason[:300]}") from error
        kind = type(error).__name__
        raise LoadError(f"{where} cannot be loaded: {kind}: {reason[:300]}") from error
