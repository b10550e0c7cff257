"""Where what a grammar describes begins in an answer that is free at first.

Knows the texts of answers, and neither grammars nor tokens.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import regex

from adafuse.constraints.constraint import Constraint
from adafuse.tools.openings import BLANKS, CallOpenings, object_head, one_of

__all__ = ["Beginnings"]

# Behind <|python_tag|> code may follow too.
_MARK = re.compile(r"<tool_call>|\[TOOL_CALLS\]|<function=")


class Beginnings:
    """Looks for a trigger, or for calls of tools, in an answer that grows; true if there are any.

    Every text begins with those before it.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._trigger = constraint.trigger
        self._openings = CallOpenings(constraint.tools) if constraint.tools else None
        self._no_call = _no_call(constraint.tools) if constraint.tools else None
        self._from = 0  # before this character nothing begins

    def __bool__(self) -> bool:
        return self._trigger is not None or self._openings is not None

    def sure(self, text: str) -> int | None:
        """Where it begins for sure."""
        if self._openings is not None:
            opening = self._openings.sure(text, self._from)
            return opening.begin if opening is not None and opening.dialect else None
        assert self._trigger is not None
        return at if (at := text.find(self._trigger, self._from)) >= 0 else None

    def pending(self, text: str) -> int | None:
        """From where on the text may turn out to be what is described; only of calls."""
        opening = self._openings.sure(text, self._from) if self._openings is not None else None
        return opening.begin if opening is not None and not opening.dialect else None

    def likely(self, text: str) -> list[int]:
        """Where it begins, or will unless something else is meant: at every mark of a call."""
        if self._openings is None:
            return [] if (at := self.sure(text)) is None else [at]
        places = {match.start() for match in _MARK.finditer(text, self._from)}
        at = self.sure(text)
        return sorted(places if at is None else {*places, at})

    def not_called(self, text: str) -> int | None:
        """Where an object that begins the answer goes on behind a name that no tool has.

        As long as it may turn out to have the arguments of a call next.
        """
        match = self._no_call.match(text) if self._no_call is not None else None
        return match.end("name") if match is not None else None

    def passed(self, text: str) -> None:
        """Note that nothing has begun for sure in a text."""
        if self._openings is None:
            self._from = max(len(text) - len(self._trigger or "") + 1, 0)
            return
        at = self.pending(text)
        self._from = len(text) if at is None else at


def _no_call(tools: Collection[str]) -> regex.Pattern[str]:
    unknown = rf"""(?!(?:{one_of(tools)})")[^"\\\n]{{0,64}}"""
    block = rf"{BLANKS}(?:```(?:json|JSON)?{BLANKS})?(?:\[{BLANKS})?"
    following = rf"""(?:{BLANKS},)?{BLANKS}(?:"[^A-Za-z"]*(?i:ar?|p(?:ar?)?|para)?)?"""
    return regex.compile(rf"{block}(?P<name>{object_head(unknown)}){following}\Z")
