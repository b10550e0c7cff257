"""Loading members: from hub ids, local folders and GGUF files to models on their devices.

Nothing from a checkpoint is executed: no remote code unless asked for, no pickles.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)

from adafuse.errors import (
    ConfigError,
    LoadMemoryError,
)
from adafuse.loading.checkpoints import refuse_without_weights
from adafuse.loading.costs import member_curve
from adafuse.loading.dtypes import ChosenDtype, choose_dtype, stored_dtype
from adafuse.loading.hub import locate
from adafuse.loading.llama_plan import LlamaPlan, runs_in_llama, vocabulary_of
from adafuse.loading.load_errors import load_errors
from adafuse.loading.pretrained import load_model, refuse_architecture
from adafuse.loading.quantisation import refuse_without_reader
from adafuse.loading.sources import Source, model_source, tokenizer_source
from adafuse.local.member import LocalMember
from adafuse.local.runner import Runner
from adafuse.local.tree_check import prepare
from adafuse.memory import free_bytes, weight_bytes
from adafuse.spec import MemberSpec, names_of

__all__ = ["load_members"]

_log = logging.getLogger("adafuse.loading")  # the name that docs/telemetry.md gives
# Members with the same checkpoint share its weights for as long as any of them is alive.
_shared: weakref.WeakValueDictionary[tuple[str, ...], Runner] = weakref.WeakValueDictionary()
_loading = threading.Lock()


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
    given = specs
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
    placements = [  # None: llama.cpp has it
        None if runs_in_llama(own, model, name) else _placement(spec)
        for own, spec, model, name in zip(given, specs, models, names, strict=True)
    ]
    plans: list[_Plan | LlamaPlan] = []
    for row in zip(names, specs, models, tokenizers, placements, strict=True):
        name, spec, model, tokenizer, placement = row
        planned = {plan.key for plan in plans}
        with _loading, load_errors(name, spec):
            if placement is None:
                plans.append(_plan_gguf(name, spec, model, tokenizer, planned))
            else:
                plans.append(_plan_member(name, spec, model, tokenizer, placement, planned=planned))
    _check_memory(plans)
    members = []
    for plan in plans:
        with _loading, load_errors(plan.name, plan.spec):
            members.append(_load_member(plan))
        dtype = members[-1].runner.dtype.removeprefix("torch.")
        _log.info("member %r is loaded: %s, %s", plan.name, dtype, plan.reason)
    return members


def _plan_gguf(
    name: str, spec: MemberSpec, model: Source, tokenizer: Source, planned: Collection[Any]
) -> LlamaPlan:
    """As `_plan_member`, for what llama.cpp runs."""
    read = None
    if spec.tokenizer is not None:
        read = _read_tokenizer(locate(tokenizer, weights=False, tokenizer=True), spec)
    plan = LlamaPlan.of(name, spec, locate(model, weights=True, tokenizer=False), read)
    plan.runner = _shared.get(plan.key)
    plan.loads = plan.runner is None and plan.key not in planned
    return plan


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
    runner: Runner | None  # of its model, if that is in use already; else
    config: PreTrainedConfig | None

    @property
    def reason(self) -> str:
        """Of its dtype."""
        return self.dtype.reason


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
    dtype = choose_dtype(spec.dtype, config, on_cpu="device_map" not in placement)
    placement = {"dtype": dtype.dtype, **placement}
    key = (source.identity, repr(sorted(placement.items())), spec.attn_implementation, *spec.lora)
    runner = _shared.get(key)
    if runner is not None or key in planned:
        config = None
    else:
        config = config or AutoConfig.from_pretrained(source.place, **source.arguments)
        refuse_architecture(name, config)
        where = f"member {name!r} ({spec.model})"
        refuse_without_reader(where, spec.quantization_config, config)
        if source.is_local and not source.gguf:
            folder = Path(source.place)
            files = [path.name for path in folder.iterdir() if path.is_file()]
            refuse_without_weights(where, files, lambda file: (folder / file).read_text("utf-8"))
    read = _read_tokenizer(tokens, spec)
    return _Plan(name, spec, key, source, placement, dtype, read, runner, config)


def _read_tokenizer(tokens: Source, spec: MemberSpec) -> PreTrainedTokenizerBase:
    read: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        tokens.place, **tokens.arguments, **spec.tokenizer_kwargs
    )
    return read


def _check_memory(plans: Sequence[_Plan | LlamaPlan]) -> None:
    """Refuse weights that a device has no room for.

    What is quantised, or put in several places by accelerate, has a size that only reading tells.
    """
    needed: dict[torch.device, dict[str, int]] = {}
    for plan in plans:
        if isinstance(plan, LlamaPlan):
            if plan.nbytes:
                needed.setdefault(torch.device("cpu"), {})[plan.name] = plan.nbytes
            continue
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
        with load_errors(plan.name, spec):
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


def _load_member(plan: _Plan | LlamaPlan) -> LocalMember:
    """Load a member's weights, unless another one has loaded them."""
    runner = plan.runner or _shared.get(plan.key)
    if runner is None:
        if isinstance(plan, LlamaPlan):
            runner = plan.load()
        else:
            runner = prepare(
                load_model(plan.name, plan.spec, plan.source, plan.placement), plan.name
            )
        runner.cost_curve = member_curve(plan.spec, plan.key, runner)
        _shared[plan.key] = runner
    names = ["weight", "chat_template", "chat_template_kwargs", "prompt_cache_mb", "check_memory"]
    options: dict[str, Any] = {name: getattr(plan.spec, name) for name in names}
    tokenizer = plan.tokenizer or vocabulary_of(runner, plan.name)
    return LocalMember(runner, tokenizer, plan.name, **options)


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
