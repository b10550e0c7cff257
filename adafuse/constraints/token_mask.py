"""Which of a member's tokens a grammar allows after a drafted path.

Masks shape what a member drafts; scores stay the model's own. Knows tokens and grammars, and
neither models nor trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from adafuse.constraints.beginnings import Beginnings
from adafuse.constraints.call_grammar import NO_CALL_KEY
from adafuse.constraints.grammar import TokenTable
from adafuse.constraints.two_layouts import matcher_of
from adafuse.text.tokenizer import TokenCodec

if TYPE_CHECKING:
    from adafuse.constraints.constraint import Constraint
    from adafuse.constraints.grammar import Matcher

__all__ = ["END", "TokenMasks"]

END = -1
"""The end of an answer where a grammar allows nothing else, whatever a member's end tokens are:
some members have none."""


class TokenMasks:
    """Follows one answer for one member; `table` is that of its tokenizer.

    Attributes:
        binds: whether the grammar says how an answer goes on, and not only how it must not.
    """

    def __init__(
        self, table: TokenTable, codec: TokenCodec, constraint: Constraint, end_ids: Sequence[int]
    ) -> None:
        self._table, self._codec = table, codec
        self._beginnings = Beginnings(constraint)
        self._start = matcher_of(table, constraint)
        self._matcher: Matcher | None = None if self._beginnings else self._start
        self._ends = list(end_ids)
        self.binds = not constraint.only_forbids
        self._text = ""  # of a free answer, each byte as one character

    @property
    def free(self) -> bool:
        """Whether the grammar does not say how the answer goes on: not yet, or not at all."""
        return self._matcher is None or not self.binds

    def feed(self, text: str) -> None:
        """Append committed text to the answer."""
        if self._matcher is not None:
            self._matcher.feed(text.encode())
            return
        self._text += text.encode().decode("latin-1")
        if (at := self._beginnings.sure(self._text)) is not None:
            self._matcher = self._start.copy()
            self._matcher.feed(self._text[at:].encode("latin-1"))
        else:
            self._beginnings.passed(self._text)

    def after(self, path: Sequence[int]) -> torch.Tensor | None:
        """What is allowed after drafted ids: bool, shape (V,) of the table; None: everything.

        All False where only the end is allowed, or the path has left the grammar.
        """
        data = self._codec.join(path)
        if self._matcher is None:
            return self._after_beginning(self._text + data.decode("latin-1"))
        with self._matcher.ahead(data) as fed:
            if fed < len(data):
                return torch.zeros(self._table.size, dtype=torch.bool)
            return self._mask(self._matcher)

    def _after_beginning(self, text: str) -> torch.Tensor | None:
        """What is allowed after all of the answer; from a mark on what can be a call's alone.

        Behind a name that no tool has, what is no call: that would be an answer of no use.
        """
        sure = self._beginnings.sure(text)
        for at in self._beginnings.likely(text):
            matcher, data = self._start.copy(), text[at:].encode("latin-1")
            if matcher.feed(data) == len(data):
                return self._mask(matcher)
            if at == sure:
                return torch.zeros(self._table.size, dtype=torch.bool)
        if (behind := self._beginnings.not_called(text)) is not None:
            matcher = self._table.matcher(NO_CALL_KEY)
            matcher.feed(text[behind:].encode("latin-1"))
            return self._mask(matcher)
        return None

    def pending(self, path: Sequence[int]) -> bool:
        """Whether the grammar may turn out to hold behind drafted ids of a free answer."""
        text = self._text + self._codec.join(path).decode("latin-1")
        return self._matcher is None and self._beginnings.pending(text) is not None

    def _mask(self, matcher: Matcher) -> torch.Tensor:
        packed = torch.frombuffer(bytearray(matcher.allowed()), dtype=torch.uint8)
        bits = packed[:, None] >> torch.arange(8, dtype=torch.uint8) & 1  # (bytes, 8)
        allowed = bits.flatten().bool()
        mask = allowed[: self._table.size].clone()
        if mask.any():
            mask[self._ends] = bool(allowed[self._table.end])
        return mask
