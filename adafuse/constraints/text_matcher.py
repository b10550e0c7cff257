"""What a grammar says of an answer's text: what is allowed, what is forced, what completes it.

Works on text alone, byte by byte, so it judges every member's words alike. It knows no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from adafuse.constraints.completion import CompletionSearch
from adafuse.constraints.constraint import Constraint
from adafuse.constraints.grammar import Matcher, byte_table
from adafuse.constraints.guarded import matcher_for
from adafuse.errors import DecodingError
from adafuse.json_schema import OWN_BOUNDS
from adafuse.text.words import decode
from adafuse.tools.syntax import find_trigger

__all__ = ["TextMatcher"]

_WORDS_BEFORE_BLANK = re.compile(r".*\S(?=\s)", re.DOTALL)


class TextMatcher:
    """Follows the `text` of one answer through its constraint.

    The trigger begins with the character `since`, once there is one.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._grammar = constraint.grammar
        self._trigger = constraint.trigger
        self._start = matcher_for(byte_table(), constraint)
        self._matcher: Matcher | None = None if self._trigger else self._start
        self._search = CompletionSearch(constraint.grammar)
        self.text = ""
        self.since: int | None = None

    @property
    def free(self) -> bool:
        """Whether the grammar does not hold yet: before a trigger the answer is free."""
        return self._matcher is None

    @property
    def accepting(self) -> bool:
        """Whether the text so far is a whole answer."""
        return self._matcher is None or self._matcher.accepting

    @property
    def complete(self) -> bool:
        """Whether it is, and nothing can follow."""
        return self._matcher is not None and self._matcher.complete

    @property
    def at_own_bound(self) -> bool:
        """Whether a value in a whole answer ends where only a bound of ours ends it."""
        if self._matcher is None or OWN_BOUNDS not in self._grammar:
            return False
        from adafuse.constraints.json_layout import tighter_grammar  # needs an extra

        data = self.text[self.since or 0 :].encode()
        try:
            matcher = byte_table().matcher(tighter_grammar(self._grammar))
            return matcher.feed(data) < len(data) or not matcher.accepting
        except (DecodingError, RecursionError, ValueError):  # nothing is shorter
            return False

    def triggers(self, text: str) -> bool:
        """Whether the trigger comes to stand in the answer with `text` behind it."""
        return self.free and self._trigger_in(text) is not None

    def feed(self, text: str) -> None:
        """Append text to the answer."""
        if self._matcher is not None:
            self._matcher.feed(text.encode())
        elif (at := self._trigger_in(text)) is not None:
            self.since = at
            self._matcher = self._start.copy()
            self._matcher.feed((self.text + text)[at:].encode())
        self.text += text

    def admit(self, text: str, ends: bool) -> tuple[str, bool]:
        """The longest beginning of a span that the grammar allows, and whether it may end there."""
        with self._ahead(text) as (matcher, allowed):
            if matcher is None:
                return text, ends
            return text[:allowed], ends and allowed == len(text) and matcher.accepting

    def forced(self) -> str:
        """Words that the grammar leaves no choice about; empty if there are none.

        A last word of which only the beginning is forced is left out: members may have a token
        for all of it.
        """
        if self._matcher is None:
            return ""
        data = self._matcher.forced
        text = decode(data)[0]
        with self._matcher.ahead(data):
            if self._matcher.complete:
                return text
        words = _WORDS_BEFORE_BLANK.match(text)
        return words.group() if words else ""

    def completion(self, text: str) -> str | None:
        """A short text that makes the answer whole after `text`; None if none was found."""
        with self._ahead(text) as (matcher, allowed):
            if matcher is None:
                return ""
            if allowed < len(text):
                return None
            completion = self._search.find(matcher)
        return completion.decode() if completion is not None else None

    @contextmanager
    def _ahead(self, text: str) -> Iterator[tuple[Matcher | None, int]]:
        """The matcher after as much of `text` as it allows, and how many characters that is."""
        if self._matcher is not None:
            data = text.encode()
            with self._matcher.ahead(data) as allowed:
                yield self._matcher, _whole_characters(data, allowed)
        elif (at := self._trigger_in(text)) is not None:
            matcher = self._start.copy()
            data = (self.text + text)[at:].encode()
            free = at - len(self.text)  # negative where the trigger begins in the answer
            yield matcher, free + _whole_characters(data, matcher.feed(data))
        else:
            yield None, len(text)

    def _trigger_in(self, text: str) -> int | None:
        """Where the trigger begins, in the answer with `text` behind it."""
        assert self._trigger is not None
        return find_trigger(self.text, text, self._trigger)


def _whole_characters(data: bytes, length: int) -> int:
    """How many whole characters the first bytes of a text are."""
    return len(decode(data[:length])[0])
