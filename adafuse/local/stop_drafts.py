"""What a member drafts up to a stop string: a way to end the answer (DESIGN 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adafuse.local.answer_prefix import AnswerPrefix
from adafuse.local.token_tree import Node
from adafuse.text.stop_strings import first_stop

__all__ = ["StopDrafts"]


class StopDrafts:
    """The stop strings of one answer, and the drafts of a round that complete one."""

    def __init__(
        self, strings: Sequence[str], prefix: AnswerPrefix, bound: Callable[[Node], bool]
    ) -> None:
        """Take what leaves out leading blanks, and whether a grammar holds, or may, at a node."""
        self._strings, self._prefix, self._bound = tuple(strings), prefix, bound
        self._longest = max(map(len, strings), default=0)
        self._tail = ""  # of the answer: what a stop may have begun in
        self._nodes: dict[str, dict[Node, None]] = {}  # by the text before the stop

    def begin(self) -> None:
        """Begin a round."""
        self._nodes = {}

    def begins(self, text: str, node: Node) -> int | None:
        """Where in a drafted span a stop begins that it completes; see `drafting.Drafter`.

        Under a grammar none does: that says itself where an answer ends.
        """
        if not self._strings or self._bound(node):
            return None
        answer = self._prefix.strip(text)
        begin = first_stop(self._tail, answer, self._strings)
        return begin if begin is None or begin < 0 else begin + len(text) - len(answer)

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
