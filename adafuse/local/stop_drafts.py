"""What a member drafts up to a stop string: a way to end the answer (DESIGN 3.7)."""

from __future__ import annotations

from collections.abc import Sequence

from adafuse.local.token_tree import Node
from adafuse.text.stop_strings import first_stop

__all__ = ["StopDrafts"]


class StopDrafts:
    """The stop strings of one answer, and the drafts of a round that complete one."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = tuple(strings)
        self._longest = max(map(len, strings), default=0)
        self._tail = ""  # of the answer: what a stop may have begun in
        self._nodes: dict[str, dict[Node, None]] = {}  # by the text before the stop

    def begin(self) -> None:
        """Begin a round."""
        self._nodes = {}

    def begins(self, text: str) -> int | None:
        """Where in a text that goes on from the answer a stop begins that it completes."""
        return first_stop(self._tail, text, self.strings)

    def note(self, text: str, node: Node) -> None:
        """Take a draft: the text before the stop, and the token that completes it."""
        self._nodes.setdefault(text, {})[node] = None

    def drafted(self, text: str) -> tuple[Node, ...]:
        """The last tokens of what was drafted for an end after this text."""
        return tuple(self._nodes.get(text, ()))

    def commit(self, text: str) -> None:
        """Append a text to the answer, which ends the round."""
        self.begin()
        if self._longest:
            self._tail = (self._tail + text)[-self._longest :]
