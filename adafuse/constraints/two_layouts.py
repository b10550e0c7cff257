"""A grammar of which there is a second one, for texts that are laid out in another way.

The first one says what comes next, as long as the text is a beginning of its sentences. A text that
is none, and is one of the second's, goes on by that. Knows neither calls nor tokens.
"""

from __future__ import annotations

from dataclasses import replace

from adafuse.constraints.constraint import Constraint
from adafuse.constraints.grammar import Matcher, TokenTable
from adafuse.constraints.guarded import matcher_for

__all__ = ["TwoLayouts", "matcher_of"]


def matcher_of(table: TokenTable, constraint: Constraint) -> Matcher:
    """A matcher at the start of what a constraint describes; errors as of `matcher_for`."""
    strict = matcher_for(table, constraint)
    return TwoLayouts(strict, table, constraint) if constraint.loose else strict


class TwoLayouts(Matcher):
    """A place in both grammars of a constraint; the second is read once the first is left."""

    def __init__(self, strict: Matcher, table: TokenTable, constraint: Constraint) -> None:
        self._strict, self._table, self._constraint = strict, table, constraint
        self._loose: Matcher | None = None
        self._data = b""  # read so far
        self._strict_length = 0  # how much of it the first grammar has read
        self._loose_length = 0

    def copy(self) -> TwoLayouts:
        """A second one at the same place."""
        copy = TwoLayouts(self._strict.copy(), self._table, self._constraint)
        copy._loose = self._loose.copy() if self._loose is not None else None
        copy._data = self._data
        copy._strict_length, copy._loose_length = self._strict_length, self._loose_length
        return copy

    @property
    def _current(self) -> Matcher:
        """The one that has read everything."""
        if self._strict_length == len(self._data):
            return self._strict
        assert self._loose is not None
        return self._loose

    def feed(self, data: bytes) -> int:
        """Move over the longest beginning of `data` that either allows; return its length."""
        before = len(self._data)
        allowed = 0
        if self._strict_length == before:
            allowed = self._strict.feed(data)
            self._strict_length += allowed
        if allowed < len(data):
            if self._loose is None:
                loose = replace(self._constraint, grammar=self._constraint.loose)
                self._loose = matcher_for(self._table, loose)
            self._loose_length += self._loose.feed((self._data + data)[self._loose_length :])
            allowed = max(allowed, self._loose_length - before)
        self._data += data[:allowed]
        return allowed

    def back(self, count: int) -> None:
        """Move back over as many bytes."""
        length = len(self._data) - count
        self._data = self._data[:length]
        if self._strict_length > length:
            self._strict.back(self._strict_length - length)
            self._strict_length = length
        if self._loose is not None and self._loose_length > length:
            self._loose.back(self._loose_length - length)
            self._loose_length = length

    @property
    def accepting(self) -> bool:
        """Whether the text so far is a whole answer."""
        return self._current.accepting

    @property
    def complete(self) -> bool:
        """Whether it is, and nothing can follow."""
        return self._current.complete

    @property
    def forced(self) -> bytes:
        """Bytes that must come next whatever the answer says."""
        return self._current.forced

    def allowed(self) -> bytes:
        """A bit per id of the table, lowest bit first: which may come next."""
        return self._current.allowed()
