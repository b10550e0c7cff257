"""Which of a member's tokens a grammar allows after a drafted path.

Masks shape what a member drafts; scores stay the model's own. Knows tokens and grammars, and
neither models nor trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from adafuse.constraints.grammar import TokenTable
from adafuse.constraints.guarded import matcher_for
from adafuse.text.tokenizer import TokenCodec
from adafuse.tools.syntax import find_trigger

if TYPE_CHECKING:
    from adafuse.constraints.constraint import Constraint
    from adafuse.constraints.grammar import Matcher

__all__ = ["END", "TokenMasks"]

END = -1
"""The end of an answer where a grammar allows nothing else, whatever a member's end tokens are:
some members have none."""


class TokenMasks:
    """Follows one answer for one member; `table` is that of its tokenizer."""

    def __init__(
        self, table: TokenTable, codec: TokenCodec, constraint: Constraint, end_ids: Sequence[int]
    ) -> None:
        self._table, self._codec = table, codec
        self._trigger = (constraint.trigger or "").encode()
        self._start = matcher_for(table, constraint)
        self._matcher: Matcher | None = None if self._trigger else self._start
        self._ends = list(end_ids)
        self._tail = b""  # the end of a free answer, in which the trigger may have begun

    @property
    def free(self) -> bool:
        """Whether everything is allowed: before a trigger the answer is free."""
        return self._matcher is None

    def feed(self, text: str) -> None:
        """Append committed text to the answer."""
        if self._matcher is not None:
            self._matcher.feed(text.encode())
            return
        data = text.encode()
        if (triggered := self._from_trigger(data)) is not None:
            self._matcher = self._start.copy()
            self._matcher.feed(triggered)
        else:
            self._tail = (self._tail + data)[-len(self._trigger) :]

    def after(self, path: Sequence[int]) -> torch.Tensor | None:
        """What is allowed after drafted ids: bool, shape (V,) of the table; None: everything.

        All False where only the end is allowed, or the path has left the grammar.
        """
        data = self._codec.join(path)
        matcher = self._matcher
        if matcher is None:
            if (triggered := self._from_trigger(data)) is None:
                return None
            matcher, data = self._start.copy(), triggered
        with matcher.ahead(data) as fed:
            if fed < len(data):
                return torch.zeros(self._table.size, dtype=torch.bool)
            return self._mask(matcher)

    def _mask(self, matcher: Matcher) -> torch.Tensor:
        packed = torch.frombuffer(bytearray(matcher.allowed()), dtype=torch.uint8)
        bits = packed[:, None] >> torch.arange(8, dtype=torch.uint8) & 1  # (bytes, 8)
        allowed = bits.flatten().bool()
        mask = allowed[: self._table.size].clone()
        if mask.any():
            mask[self._ends] = bool(allowed[self._table.end])
        return mask

    def _from_trigger(self, data: bytes) -> bytes | None:
        """The answer from its trigger on, with `data` behind it; None if there is no trigger."""
        at = find_trigger(self._tail, data, self._trigger)
        return (self._tail + data)[at:] if at is not None else None
