"""What a grammar says of an answer's text: what is allowed, what is forced, what completes it.

Works on text alone, byte by byte, so it judges every member's words alike. It knows no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from adafuse.constraints.beginnings import Beginnings
from adafuse.constraints.call_grammar import ENDS
from adafuse.constraints.completion import CompletionSearch
from adafuse.constraints.constraint import Constraint
from adafuse.constraints.grammar import Matcher, byte_table
from adafuse.constraints.two_layouts import matcher_of
from adafuse.errors import DecodingError
from adafuse.json_schema import OWN_BOUNDS
from adafuse.text.words import decode

__all__ = ["TextMatcher"]

_WORDS_BEFORE_BLANK = re.compile(r".*\S(?=\s)", re.DOTALL)


class TextMatcher:
    """Follows the `text` of one answer through its constraint.

    What the grammar describes begins with the character `since`, once it does.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._beginnings = Beginnings(constraint)
        self._of_calls, self._only_forbids = bool(constraint.tools), constraint.only_forbids
        self._start = matcher_of(byte_table(), constraint)
        self._matcher: Matcher | None = None if self._beginnings else self._start
        self._search = CompletionSearch(constraint.grammar, ENDS if constraint.tools else ())
        self.text = ""
        self.since: int | None = None

    @property
    def free(self) -> bool:
        """Whether the grammar does not hold yet: the answer is free at first."""
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
    def pending(self) -> int | None:
        """The character from which on a free answer may turn out to be what is described."""
        return self._beginnings.pending(self.text) if self.free else None

    @property
    def at_own_bound(self) -> bool:
        """Whether a value in a whole answer ends where only a bound of ours ends it."""
        constraint = self._constraint
        if self._matcher is None or OWN_BOUNDS not in constraint.grammar:
            return False
        from adafuse.constraints.json_layout import tighter_grammar  # needs an extra

        data = self.text[self.since or 0 :].encode()
        grammar, loose = map(tighter_grammar, (constraint.grammar, constraint.loose))
        try:
            tighter = replace(constraint, grammar=grammar, loose=loose, guarded=False)
            matcher = matcher_of(byte_table(), tighter)
            return matcher.feed(data) < len(data) or not matcher.accepting
        except (DecodingError, RecursionError, ValueError):  # nothing is shorter
            return False

    def triggers(self, text: str) -> bool:
        """Whether what the grammar describes begins in the answer with `text` behind it."""
        return self.free and self._beginning_in(text) is not None

    def feed(self, text: str) -> None:
        """Append text to the answer."""
        if self._matcher is not None:
            self._matcher.feed(text.encode())
        elif (at := self._beginning_in(text)) is not None:
            self.since = at
            self._matcher = self._start.copy()
            self._matcher.feed((self.text + text)[at:].encode())
        self.text += text
        if self._matcher is None:
            self._beginnings.passed(self.text)

    def admit(self, text: str, ends: bool) -> tuple[str, bool]:
        """The longest beginning of a span that the grammar allows, and whether it may end there."""
        whole = self._of_calls and self._matcher is not None and self._matcher.accepting
        with self._ahead(text) as (matcher, allowed):
            if matcher is None:
                return text, ends
            if whole and allowed < len(text) and not text[:allowed].strip():
                return "", True  # text behind the calls; its whitespace would lead to another one
            if self._only_forbids and allowed < len(text):
                return _whole_words(text[:allowed]), False
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
        return _whole_words(text)

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
        elif (at := self._beginning_in(text)) is not None:
            matcher = self._start.copy()
            data = (self.text + text)[at:].encode()
            free = at - len(self.text)  # negative where it begins in the answer
            yield matcher, free + _whole_characters(data, matcher.feed(data))
        else:
            yield None, len(text)

    def _beginning_in(self, text: str) -> int | None:
        """Where what the grammar describes begins, in the answer with `text` behind it."""
        return self._beginnings.sure(self.text + text)


def _whole_words(text: str) -> str:
    """A text without its last word."""
    words = _WORDS_BEFORE_BLANK.match(text)
    return words.group() if words else ""


def _whole_characters(data: bytes, length: int) -> int:
    """How many whole characters the first bytes of a text are."""
    return len(decode(data[:length])[0])
