"""The blank that some tokenizers put before a chat answer (DESIGN 3.4, chat answers).

Some members begin an answer with U+0020, some don't. In its first round leading blanks are left out
of what members propose; drafters keep their ids, and the others put one blank before what they read
exactly if their own most probable draft began with one. Knows texts only.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["AnswerPrefix"]

_BLANK = " "


class AnswerPrefix:
    """What one member does about leading blanks in one round."""

    def __init__(self) -> None:
        self.stripped = False  # whether this round's texts leave out leading blanks
        self._blank = ""  # what this member's own most probable draft began with

    def begin(self, stripped: bool) -> None:
        """Begin a round, in which leading blanks are left out or not."""
        self.stripped, self._blank = stripped, ""

    def learn(self, text: str) -> None:
        """Take the member's most probable draft: the one that tells how its answers begin."""
        self._blank = _BLANK if self.stripped and text.startswith(_BLANK) else ""

    def add(self, text: str) -> str:
        """A text of the answer as this member reads it."""
        return self._blank + text

    def strip(self, text: str) -> str:
        """What this member wrote, as a text of the answer."""
        return text.lstrip(_BLANK) if self.stripped else text

    def strip_words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Likewise of a text in words; none of them is empty."""
        if not self.stripped:
            return tuple(words)
        kept = list(words)
        while kept and not kept[0].lstrip(_BLANK):
            kept.pop(0)
        return (kept[0].lstrip(_BLANK), *kept[1:]) if kept else ()
