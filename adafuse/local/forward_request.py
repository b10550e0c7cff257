"""What one sequence asks of a forward. Knows no model and no scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from adafuse.local.kv_cache import KVCache

__all__ = ["Request", "Runner"]


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens of one sequence to be read.

    Attributes:
        tokens: their ids, n of them.
        positions: of each.
        seen: by layer type which slots of the sequence each token may see, shape (n, slots); None:
            a plain causal mask is right.
        cache: what was read before; the tokens' states are added to it.
        keep: how many of the last tokens' logits are wanted.
    """

    tokens: Sequence[int]
    positions: Sequence[int]
    seen: Mapping[str, torch.Tensor] | None
    cache: KVCache
    keep: int


class Runner(Protocol):
    """What runs requests: `adafuse.local.model_runner.ModelRunner`, as the scheduler needs it."""

    @property
    def packs(self) -> bool:
        """Whether several sequences may share a forward."""

    def forward(self, request: Request) -> torch.Tensor:
        """One forward of one sequence; returns logits of its last tokens, shape (keep, V)."""

    def forward_packed(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """One forward of several sequences; returns logits of each as `forward` does."""
