"""What this package uses that is private to transformers and torch.

Read from transformers 5.23.0 and torch 2.13.0; the place to look first when a new version fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedConfig

__all__ = [
    "attention_name",
    "attention_set_to",
    "cpu_instructions",
    "onednn_has_bfloat16",
    "onednn_linear",
]


def attention_name(config: PreTrainedConfig) -> str:
    """The attention implementation that a model was loaded with."""
    name: str = config._attn_implementation
    return name


@contextmanager
def attention_set_to(config: PreTrainedConfig, name: str) -> Iterator[None]:
    """Let a loaded model attend by a registered function; `set_attn_implementation` would check."""
    before = config._attn_implementation_internal
    config._attn_implementation_internal = name
    try:
        yield
    finally:
        config._attn_implementation_internal = before


def onednn_linear() -> Callable[..., Any] | None:
    """oneDNN's product (states, weight, bias, "none", [], ""), made for the compiler; or None."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def cpu_instructions() -> Mapping[str, Any]:
    """What the CPU can do, by cpuinfo's names ("avx512_bf16"); nothing where torch cannot say.

    Public in torch 2.13; older ones know two of them, by private names.
    """
    if (ask := getattr(torch.cpu, "get_capabilities", None)) is not None:
        known: Mapping[str, Any] = ask()
        return known
    names = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return {name: getattr(torch.cpu, ask, lambda: False)() for name, ask in names.items()}


def onednn_has_bfloat16() -> bool:
    """Whether torch hands products in bfloat16 to oneDNN: its own take many times as long."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    ask = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return ask is not None and bool(ask())
