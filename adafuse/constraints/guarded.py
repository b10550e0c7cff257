"""A matcher that also keeps JSON from going over the same again and again.

Where a string, a list or an object repeats itself (`repetition`) and the grammar lets it close, it
has to: in a string only the quote may follow, elsewhere no further comma. Where the grammar does
not let it close it goes on, so that whatever the grammar asks for can still be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adafuse.constraints.grammar import Matcher, TokenTable
from adafuse.constraints.repetition import NEXT_ITEM, STRING_END, JsonTrail

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from adafuse.constraints.constraint import Constraint

__all__ = ["matcher_for"]


def matcher_for(table: TokenTable, constraint: Constraint) -> Matcher:
    """A matcher at the start of what a constraint describes; errors as of `TokenTable.matcher`."""
    return table.matcher(constraint.grammar, _GuardedMatcher if constraint.guarded else Matcher)


class _GuardedMatcher(Matcher):
    """A place in a grammar and in the JSON that is written by it."""

    def __init__(
        self, table: TokenTable, matcher: LLMatcher, trail: JsonTrail | None = None
    ) -> None:
        super().__init__(table, matcher)
        self._trail = JsonTrail() if trail is None else trail

    def copy(self) -> Matcher:
        return _GuardedMatcher(self._table, self._matcher.deep_copy(), self._trail.copy())

    def feed(self, data: bytes) -> int:
        fed = super().feed(data)
        for at, byte in enumerate(data[:fed]):
            if self._bars(byte):
                super().back(fed - at)
                return at + self._feed_slowly(data[at:fed])
            self._trail.feed(byte)
        return fed

    def _feed_slowly(self, data: bytes) -> int:
        """As `feed`, for bytes that the grammar allows, asking it byte by byte what may close."""
        at = 0
        while at < len(data):
            step = data[at : at + 1]
            if self._bars(step[0]):
                if forced := self.forced:
                    step = data[at : at + len(forced)]  # nothing else may come, so nothing closes
                elif self._closes():
                    break
            at += super().feed(step)
            for byte in step:
                self._trail.feed(byte)
        return at

    def back(self, count: int) -> None:
        super().back(count)
        self._trail.back(count)

    def allowed(self) -> bytes:
        mask = super().allowed()
        closing = self._trail.closing
        if not closing or not self._table.holds(mask, closing):
            return mask
        if closing == STRING_END:
            return self._table.beginning(mask, STRING_END)
        return self._table.not_beginning(mask, NEXT_ITEM)

    def _bars(self, byte: int) -> bool:
        """Whether something has to close before a byte, if it may."""
        closing = self._trail.closing
        if closing == STRING_END:
            return byte != ord(STRING_END)
        return bool(closing) and byte == ord(NEXT_ITEM)

    def _closes(self) -> bool:
        """Whether the grammar lets close here what has to."""
        return self._table.holds(super().allowed(), self._trail.closing)
