"""Stop strings over a text that grows piece by piece (DESIGN 3.5). Pure text.

What a piece costs grows with its length and with the number of stops, not with how long the stops
are or how many characters came before.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

__all__ = ["StopScanner", "first_stop"]


def first_stop(before: str, text: str, stops: Sequence[str]) -> int | None:
    """Where in `text` the stop begins that its first characters complete; None if none is.

    Negative where it begins in what comes `before` the text. See `StopScanner`.
    """
    whole, begin = before + text, len(before)
    ends = [
        (at + len(stop), -len(stop))
        for stop in stops
        if (at := whole.find(stop, max(0, begin - len(stop) + 1))) >= 0
    ]
    return sum(min(ends)) - begin if ends else None


class StopScanner:
    """Finds where the first completed stop ends the answer.

    The first character that completes any stop ends the answer; of the stops completed there the
    longest is removed.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(dict.fromkeys(stops))
        self._sorted = sorted(self._stops)
        self._first = {stop[:1] for stop in self._stops}
        self._starts = deque[int]()  # places of the text from which a stop may have begun, in order
        self.text = ""
        self._until: int | None = None
        self._pending = False
        self._seen = 0  # characters in which stops were looked for

    def feed(self, piece: str, *, until: int | None = None, pending: bool = False) -> int | None:
        """Append `piece`; return the length to cut the answer to, None if no stop is complete.

        Characters of the answer from `until` on are no text that could hold a stop; while that is
        `pending`, it may turn out with a later piece that they are.
        """
        self.text += piece
        self._until, self._pending = until, pending
        before, self._seen = self._seen, len(self.text) if until is None else until
        unseen = enumerate(self.text[before : self._seen], before)
        self._starts += (at for at, char in unseen if char in self._first)
        ends = [
            (at + len(stop), -len(stop))
            for stop in self._stops
            if (at := self.text.find(stop, max(0, before - len(stop) + 1), until)) >= 0
        ]
        if not ends:
            return None
        end, minus_length = min(ends)
        return end + minus_length

    @property
    def open_length(self) -> int:
        """Length of the longest suffix of the text that could begin a stop."""
        if self._until is not None and not (self._pending and self._stops):
            return 0
        # A place from which no stop goes on now never will be one again.
        while self._starts and not self._can_continue(self.text[self._starts[0] :]):
            self._starts.popleft()
        decided = self._starts[0] if self._starts else len(self.text)
        return len(self.text) - min(decided, len(self.text) if self._until is None else self._until)

    def _can_continue(self, suffix: str) -> bool:
        """Whether a stop begins with `suffix` and is longer; in order, such follow it at once."""
        at = bisect_left(self._sorted, suffix)
        return any(s != suffix and s.startswith(suffix) for s in self._sorted[at : at + 2])
