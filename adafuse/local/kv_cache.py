"""Keys and values of one sequence in buffers that are written in place.

transformers' own dynamic layer copies everything it holds at each forward, and a commit that keeps
some of the last states would copy it again; here either costs what is new. Knows neither tokens
nor trees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

__all__ = ["KVCache"]

_STEP = 256  # slots that a buffer grows by


class _Slots(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer; `keys` and `values` are views (1, H, S, D) of buffers with more slots."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new states behind those there are; return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = (key_states[:, :, :0], value_states[:, :, :0])  # these grow at once
        used = self.get_seq_length()
        needed = used + key_states.shape[2]
        if needed > self._buffers[0].shape[2]:
            keys, values = self._buffers
            self._buffers = (_grown(keys, used, needed), _grown(values, used, needed))
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, used:needed] = states
        self.show(needed)
        return self.keys, self.values  # type: ignore[return-value]

    def show(self, count: int) -> None:
        """Hold the first `count` slots."""
        self.keys, self.values = (buffer[:, :, :count] for buffer in self._buffers)

    def keep(self, start: int, slots: torch.Tensor) -> None:
        """Move the states of `slots` to `start` and the slots after it, and drop the rest."""
        for buffer in self._buffers:
            buffer[:, :, start : start + len(slots)] = buffer.index_select(2, slots)
        self.show(start + len(slots))

    def take(self, other: _Slots, count: int) -> None:
        """Copy the first `count` states of another layer into this one, which is empty."""
        keys, values = (buffer[:, :, :count] for buffer in other._buffers)
        self.lazy_initialization(keys, values)
        self._buffers = (_grown(keys, count, count), _grown(values, count, count))
        self.show(count)

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers."""
        return sum(buffer.nbytes for buffer in self._buffers)


def _grown(buffer: torch.Tensor, used: int, needed: int) -> torch.Tensor:
    """A buffer with room for `needed` slots and some more, the first `used` copied."""
    batch, heads, _, width = buffer.shape
    room = (needed // _STEP + 1) * _STEP
    grown = buffer.new_empty(batch, heads, room, width)
    grown[:, :, :used] = buffer[:, :, :used]
    return grown


class KVCache(DynamicCache):
    """The states of one sequence in all layers, as a transformers cache.

    Made without a model's config: sliding layers would drop states that a tree still needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer_class_to_replicate = _Slots

    @torch.inference_mode()
    def keep(self, start: int, slots: Sequence[int]) -> None:
        """Keep the first `start` slots, then `slots` in their order, in every layer."""
        in_place = list(slots) == list(range(start, start + len(slots)))
        index: dict[torch.device, torch.Tensor] = {}
        for layer in self._held():
            if in_place:
                layer.show(start + len(slots))
                continue
            device = layer.device
            if device not in index:
                index[device] = torch.tensor(slots, device=device)
            layer.keep(start, index[device])

    @torch.inference_mode()
    def copy(self, count: int) -> KVCache:
        """A cache of its own with the first `count` slots."""
        made = KVCache()
        for layer in self.layers:
            copied = _Slots()  # type: ignore[no-untyped-call]
            if isinstance(layer, _Slots) and layer.is_initialized:
                copied.take(layer, count)
            made.layers.append(copied)
        return made

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(layer.nbytes for layer in self._held())

    def _held(self) -> Iterator[_Slots]:
        """Layers that hold states; one that shares another's keys and values holds none."""
        for layer in self.layers:
            if isinstance(layer, _Slots) and layer.is_initialized:
                yield layer
