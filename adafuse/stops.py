"""Stop strings over a text that grows piece by piece (DESIGN 3.5). Pure text."""

from __future__ import annotations

__all__ = ["StopScanner"]


class StopScanner:
    """Finds where the first completed stop ends the answer.

    The first character that completes any stop ends the answer; of the stops completed there the
    longest is removed.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self.text = ""
        self._until: int | None = None

    def feed(self, piece: str, *, until: int | None = None) -> int | None:
        """Append `piece`; return the length to cut the answer to, None if no stop is complete.

        Characters of the answer from `until` on are no text that could hold a stop.
        """
        seen = len(self.text)
        self.text += piece
        self._until = until
        ends = [
            (at + len(stop), -len(stop))
            for stop in self._stops
            if (at := self.text.find(stop, max(0, seen - len(stop) + 1), until)) >= 0
        ]
        if not ends:
            return None
        end, minus_length = min(ends)
        return end + minus_length

    @property
    def open_length(self) -> int:
        """Length of the longest suffix of the text that could begin a stop."""
        if self._until is not None:
            return 0
        for length in range(min(self._longest - 1, len(self.text)), 0, -1):
            suffix = self.text[-length:]
            if any(len(stop) > length and stop.startswith(suffix) for stop in self._stops):
                return length
        return 0
