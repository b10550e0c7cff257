"""What this package uses that is private to transformers and torch.

Read from transformers 5.23.0 and torch 2.13.0; the place to look first when a new version fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedConfig

__all__ = ["attention_name", "attention_set_to", "onednn_linear"]


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
