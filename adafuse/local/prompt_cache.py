"""Caches that outlive their answers, so that a prompt that begins like an earlier one is read
only from where they part: chat history, an agent's steps, the same system prompt or documents.

What is kept is never changed, only copied from, so threads may share it. Knows ids, not texts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from adafuse.local.request import Cache

__all__ = ["PromptCache"]

_WORTH = 8  # tokens in common that are worth a copy


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    tokens: tuple[int, ...]
    window: int | None
    cache: Cache


class PromptCache:
    """Keys and values of earlier prompts and answers of one model.

    `budget` bytes may be kept, and never more than `most_bytes` nor so many caches as `most`; what
    was used least recently goes first.
    """

    def __init__(
        self, budget: int = 0, *, most_bytes: float = math.inf, most: float = math.inf
    ) -> None:
        self.budget = budget
        self._most_bytes, self._most = most_bytes, most
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []  # the least recently used first

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return sum(kept.cache.nbytes for kept in self._kept)

    def find(self, tokens: Sequence[int], window: int | None) -> tuple[Cache, int] | None:
        """A cache with the longest known beginning of `tokens`, and how many of them it holds.

        At least one token is left to read. `window` is the context window that the prompt has:
        where it differs the model may have turned positions by other factors.
        """
        with self._lock:
            same = [kept for kept in self._kept if kept.window == window]
            best = max(same, key=lambda kept: _common(kept.tokens, tokens), default=None)
            length = min(_common(best.tokens, tokens), len(tokens) - 1) if best else 0
            if best is None or length < _WORTH:
                return None
            self._kept.remove(best)
            self._kept.append(best)
        try:
            return best.cache.copy(length), length
        except MemoryError:  # llama.cpp has no sequence left: it is read once more
            return None

    def keep(self, tokens: Sequence[int], window: int | None, cache: Cache) -> None:
        """Keep a cache that holds just these tokens and that nobody changes any more."""
        room = min(self.budget, self._most_bytes)
        if cache.nbytes > room or len(tokens) < _WORTH:
            return
        kept = _Kept(tuple(tokens), window, cache)
        with self._lock:
            self._kept = [
                other
                for other in self._kept
                if other.window != window or _common(other.tokens, tokens) < len(other.tokens)
            ]
            self._kept.append(kept)
            while self.nbytes > room or len(self._kept) > self._most:
                self._kept.pop(0)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


def _common(tokens: Sequence[int], other: Sequence[int]) -> int:
    """How many first tokens two sequences have in common."""
    pairs = enumerate(zip(tokens, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(tokens), len(other)))
