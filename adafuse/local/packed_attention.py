"""Several sequences in one forward of a model.

Their tokens stand one after another in one line, so that the layers read them as one batch without
padding; only attention looks at each sequence by itself: its queries, its own keys and values, its
own mask. Sequences may differ in length, in what is cached, and in how many tokens they read.

    line      a a a | b | c c
    attends   a's     b's c's    cache
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, PreTrainedConfig

from adafuse.local._compat import attention_set_to
from adafuse.local.kv_cache import KVCache

__all__ = ["PackedCache", "packed_attention", "packed_mask"]

_NAME = "adafuse_packed"
_UNKNOWN = ("softcap", "s_aux", "position_bias")  # what some models ask of attention besides
_current = threading.local()


class PackedCache(DynamicCache):
    """The caches of several sequences, for one forward that reads `sizes` tokens of each."""

    def __init__(self, caches: Sequence[KVCache], sizes: Sequence[int]) -> None:
        super().__init__()
        self._caches = caches
        self.sizes = list(sizes)
        self.states: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the last layer written to
        self._biases: dict[tuple[int, int], list[torch.Tensor]] = {}

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each sequence its new states; `attend` reads what they then hold."""
        parts = zip(
            self._caches,
            torch.split(key_states, self.sizes, dim=2),
            torch.split(value_states, self.sizes, dim=2),
            strict=True,
        )
        self.states = [cache.update(keys, values, layer_idx) for cache, keys, values in parts]
        return key_states, value_states

    def biases(self, mask: torch.Tensor, groups: int, dtype: torch.dtype) -> list[torch.Tensor]:
        """What each sequence's attention adds to its scores, (1, 1, groups * n, slots).

        Made once for all layers that have the same mask.
        """
        biases = self._biases.get((id(mask), groups))
        if biases is None:
            parts = torch.split(mask, self.sizes, dim=2)
            biases = self._biases[id(mask), groups] = [
                torch.zeros(part.shape, dtype=dtype, device=mask.device)
                .masked_fill_(~part, -math.inf)
                .repeat(1, 1, groups, 1)[..., : keys.shape[2]]
                for part, (keys, _) in zip(parts, self.states, strict=True)
            ]
        return biases

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Of the one sequence; of several no length is right, and positions are given anyway."""
        return self._caches[0].get_seq_length(layer_idx) if len(self._caches) == 1 else 0


def packed_mask(masks: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Masks (n, slots) of sequences below each other, shape (1, 1, sum of n, most slots)."""
    widest = max(mask.shape[1] for mask in masks)
    padded = [torch.nn.functional.pad(mask, (0, widest - mask.shape[1])) for mask in masks]
    return torch.cat(padded)[None, None].to(device)


@contextmanager
def packed_attention(config: PreTrainedConfig, cache: PackedCache) -> Iterator[None]:
    """Let a model attend sequence by sequence; nobody else may use the model meanwhile."""
    _current.cache = cache
    try:
        with attention_set_to(config, _NAME):
            yield
    finally:
        _current.cache = None


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each sequence over its own states; returns (1, n, heads, width)."""
    refused = [name for name in _UNKNOWN if kwargs.get(name) is not None]
    if refused:
        raise NotImplementedError(f"packed attention does not know {refused[0]}")
    cache: PackedCache = _current.cache
    queries = torch.split(query, cache.sizes, dim=2)  # each (1, heads, n, width)
    groups = query.shape[1] // cache.states[0][0].shape[1]
    biases = cache.biases(attention_mask, groups, query.dtype)
    outputs = []
    for part, (keys, values), bias in zip(queries, cache.states, biases, strict=True):
        # Heads that share keys and values become more queries, so that these are not copied.
        folded = part.reshape(1, keys.shape[1], groups * part.shape[2], part.shape[3])
        attended = torch.nn.functional.scaled_dot_product_attention(
            folded, keys, values, attn_mask=bias, scale=scaling
        )
        outputs.append(attended.reshape(*part.shape[:3], values.shape[3]))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
