"""What a grammar says of an answer's text: which spans go, what is forced, how to close in time.

Works on text alone, byte by byte, so it judges every member's words alike. It knows no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from adafuse.constraints import Constraint
from adafuse.grammars import Matcher, byte_table
from adafuse.words import decode

__all__ = ["Referee"]

_LONGEST = 4096  # bytes that a closing may have
_STEPS = 2000  # states that the search for one may visit
_WIDTH = 6  # bytes it tries in each of them
_CLASS = 48  # where more bytes than this may follow, it is the inside of a text
# Bytes that end something first, then one of each kind that may be all that is allowed.
_ORDER = b"}],\">Zz);'`/|\n1a0nA .-52:_x=<([{tf@"
_WORDS_BEFORE_BLANK = re.compile(r".*\S(?=\s)", re.DOTALL)


class Referee:
    """Follows the text of one answer through its constraint.

    Args:
        constraint: what the answer must be.

    Attributes:
        text: the answer so far.
    """

    def __init__(self, constraint: Constraint) -> None:
        self._trigger = constraint.trigger
        self._start = byte_table().matcher(constraint.grammar)
        self._matcher: Matcher | None = None if self._trigger else self._start
        self.text = ""

    @property
    def started(self) -> bool:
        """Whether the grammar holds already; before a trigger the answer is free."""
        return self._matcher is not None

    @property
    def accepting(self) -> bool:
        """Whether the text so far is a whole answer."""
        return self._matcher is None or self._matcher.accepting

    @property
    def complete(self) -> bool:
        """Whether it is, and nothing can follow."""
        return self._matcher is not None and self._matcher.complete

    def feed(self, text: str) -> None:
        """Append text to the answer."""
        if self._matcher is not None:
            self._matcher.feed(text.encode())
        elif (at := self._trigger_in(text)) is not None:
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

    def closing(self, text: str) -> str | None:
        """A short text that makes the answer whole after `text`; None if none was found.

        Not always the shortest: it is found by preferring bytes that end something.
        """
        with self._ahead(text) as (matcher, allowed):
            if matcher is None:
                return ""
            if allowed < len(text):
                return None
            found = _greedy(matcher)
            if found is None:
                found = _search(matcher)
        return found.decode() if found is not None else None

    @contextmanager
    def _ahead(self, text: str) -> Iterator[tuple[Matcher | None, int]]:
        """The matcher after as much of `text` as it allows, and how many characters that is."""
        if self._matcher is not None:
            data = text.encode()
            with self._matcher.ahead(data) as allowed:
                yield self._matcher, _characters(data, allowed)
        elif (at := self._trigger_in(text)) is not None:
            matcher = self._start.copy()
            data = (self.text + text)[at:].encode()
            free = at - len(self.text)  # negative where the trigger begins in the answer
            yield matcher, free + _characters(data, matcher.feed(data))
        else:
            yield None, len(text)

    def _trigger_in(self, text: str) -> int | None:
        """Where the trigger begins, in the answer with `text` behind it."""
        assert self._trigger is not None
        since = max(len(self.text) - len(self._trigger) + 1, 0)
        at = (self.text + text).find(self._trigger, since)
        return at if at >= 0 else None


def _characters(data: bytes, length: int) -> int:
    """How many whole characters the first bytes of a text are."""
    return len(decode(data[:length])[0])


def _choices(mask: int, before: int) -> bytes:
    """Bytes to try next, the most promising first.

    Args:
        mask: a bit per byte that may follow here.
        before: likewise, one byte earlier. What is allowed since then leads on; what was allowed
            there too may go round in circles.
    """
    inside = mask.bit_count() > _CLASS
    first = b'"' if inside else b"}]"
    new = mask & ~before
    ranks = {byte: at for at, byte in enumerate(_ORDER)}

    def rank(byte: int) -> tuple[bool, bool, int]:
        return byte not in first, not new >> byte & 1, ranks.get(byte, len(_ORDER) + byte)

    allowed = [byte for byte in range(256) if mask >> byte & 1]
    ordered: list[int] = sorted(allowed, key=rank)
    return bytes(ordered)


def _mask(matcher: Matcher) -> int:
    return int.from_bytes(matcher.allowed()[:32], "little")


def _greedy(matcher: Matcher) -> bytes | None:
    """Always take the most promising byte."""
    path, before = b"", 0
    try:
        while len(path) < _LONGEST:
            if matcher.accepting:
                return path
            step = matcher.forced
            if not step:
                mask = _mask(matcher)
                step, before = _choices(mask, before)[:1], mask
            if not step:
                return None
            path += step[: matcher.feed(step)]
        return None
    finally:
        matcher.back(len(path))


def _search(matcher: Matcher) -> bytes | None:
    """Breadth first: the shortest, among the few bytes tried at each place."""
    layer = [(b"", 0)]
    steps = 0
    while layer:
        following = []
        for path, before in layer:
            steps += 1
            if steps > _STEPS:
                return None
            with matcher.ahead(path):
                if matcher.accepting:
                    return path
                if forced := matcher.forced:
                    following.append((path + forced, 0))
                    continue
                mask = _mask(matcher)
                options = _choices(mask, before)[:_WIDTH]
                following += [(path + bytes([option]), mask) for option in options]
        layer = [one for one in following if len(one[0]) < _LONGEST]
    return None
