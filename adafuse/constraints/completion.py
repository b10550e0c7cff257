"""Finding a short text that makes a sentence of a grammar whole.

A grammar tells which bytes may follow, and not where they lead. `CompletionSearch` therefore tries,
in turn: the end of a completion found before, always the most promising byte, and a search. What it
finds is short, and not always the shortest. This module knows neither tokens nor members.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence

from adafuse.constraints.grammar import Matcher

__all__ = ["CompletionSearch"]

_LONGEST = 4096  # bytes that a completion may have
_PLACES = 600  # that one search may visit
_WORDS = 100  # that it may try at each
_WORD = 4  # bytes that a word is as good as
_FAILURES = 3  # after as many in vain, an answer is searched no more
_TRIED = 128  # bytes that are tried at one place
_CLASS = 48  # where more bytes than this may follow, it is the inside of a text
# Bytes that end something first, then one of each kind that may be all that is allowed.
_FIRST = b"}],\">Zz);'`/|\n1a0nA .-52:_x=<([{tf@"
_ORDER = bytes(dict.fromkeys((*_FIRST, *range(256))))
_ASCII = (1 << 128) - 1
_STARTS = sum(1 << byte for byte in b'"{[]}-tfn0123456789')  # what a JSON value begins with
_ESCAPE = ord("\\")
_SENTENCE = -1


class CompletionSearch:
    """Finds completions of one answer; words in its grammar are tried as they are.

    `ends` are texts that end something in it, and are taken wherever they may come.
    """

    def __init__(self, grammar: str, ends: Sequence[str] = ()) -> None:
        self._words = _literal_words(grammar)
        self._ends = [end.encode() for end in ends]
        self._earlier: list[bytes] = []  # completions found by searching, the last first
        self._failures = 0

    def find(self, matcher: Matcher) -> bytes | None:
        """A text that makes the sentence whole, or None; the matcher is moved, and comes back."""
        if matcher.accepting:
            return b""
        for earlier in self._earlier:
            if (completion := _last_part(matcher, earlier)) is not None:
                return completion
        if self._failures >= _FAILURES:
            return None
        completion = _greedy(matcher, self._ends) if not self._earlier else None
        if completion is None:
            completion = _search(matcher, self._words)
            if completion is None:
                self._failures += 1
            else:
                self._earlier.insert(0, completion)
        return completion


def _literal_words(grammar: str) -> list[bytes]:
    """Runs of literal characters, roughly: the inside of a word is hard to guess byte by byte."""
    if grammar.startswith("{"):  # of regexes
        rules = json.loads(grammar)["grammars"]
        grammar = "\n".join(rule.get("lark_grammar") or "" for rule in rules)
    plain = re.sub(r"(?m)^[^\S\n]*[\w.]+[^\S\n]*:[^\S\n]*/?|/$", "|", grammar)  # names of rules
    plain = re.sub(r"\[(?:\\.|[^\]\\]){0,200}\]|\{[\d,]*\}|\n", "|", plain)  # classes and counts
    plain = re.sub(r"(?<!\\)\\+(?=[^\w\\])", "", re.sub(r"(?<!\\)\\+n", "\n", plain))
    runs = re.findall(r'[^()\[\]{}|*+?^$"\\]{2,}|[^\x00-\x7f]', plain)
    words = [word for run in runs for word in (run, run.strip("/ "), *re.findall(r"\w+", run))]
    return [word.encode() for word in dict.fromkeys(words) if len(word.encode()) > 1][:_WORDS]


def _last_part(matcher: Matcher, earlier: bytes) -> bytes | None:
    """The shortest end of an earlier completion that completes this too."""
    for start in range(len(earlier) - 1, -1, -1):
        with matcher.ahead(earlier[start:]) as fed:
            if fed == len(earlier) - start and matcher.accepting:
                return earlier[start:]
    return None


def _mask(matcher: Matcher) -> int:
    """A bit per byte that may follow."""
    return int.from_bytes(matcher.allowed()[:32], "little")


def _greedy(matcher: Matcher, ends: Sequence[bytes]) -> bytes | None:
    """Take what ends something; else what leads to where something may end; else what is new."""
    path = b""
    visits: Counter[int] = Counter()  # how often a step was taken that leads to a mask
    try:
        while len(path) < _LONGEST:
            if matcher.accepting:
                return path
            step = matcher.forced or _best_step(matcher, visits, ends)
            if not step or not (fed := matcher.feed(step)):
                return None
            path += step[:fed]
        return None
    finally:
        matcher.back(len(path))


def _best_step(matcher: Matcher, visits: Counter[int], ends: Sequence[bytes]) -> bytes:
    """The most promising step, by what it leads to; empty if there is none."""
    mask = _mask(matcher)
    for step in ((b'"',) if mask.bit_count() > _CLASS else (b"]", b"}")) + tuple(ends):
        if mask >> step[0] & 1:
            with matcher.ahead(step) as fed:
                leads_on = fed == len(step) and (matcher.accepting or _mask(matcher) != mask)
            if leads_on:
                return step
    leads: dict[int, bytes] = {}  # the mask after a step (-1: a whole sentence), and that step
    for step in _single_steps(mask):
        with matcher.ahead(step) as allowed:
            if allowed == len(step):
                leads.setdefault(_SENTENCE if matcher.accepting else _mask(matcher), step)
        if _SENTENCE in leads:
            break
    begins = not mask & ~_STARTS

    def worth(after: int) -> tuple[object, ...]:
        step = leads[after]
        opens = begins and step in (b"{", b"[")
        ends = after == _SENTENCE or (
            not opens and any(after >> end & 1 and not mask >> end & 1 for end in b'"]}')
        )
        wide = after.bit_count() > _CLASS
        return (not ends, opens, visits[after], after == mask, wide, *_rank(step))

    best = min(leads, key=worth, default=None)
    if best is None:
        return b""
    visits[best] += 1
    return leads[best]


def _single_steps(mask: int) -> list[bytes]:
    """What may be tried next: single bytes, and escapes of strings whole."""
    steps = [bytes([byte]) for byte in range(256) if mask >> byte & 1 and byte != _ESCAPE]
    if mask >> _ESCAPE & 1:
        steps += (b'\\"', b"\\\\", b"\\n")
    return sorted(steps, key=_rank)[:_TRIED]


def _rank(step: bytes) -> tuple[bool, bool, int, bytes]:
    """ASCII first, escapes last, and in between the order of `_ORDER`."""
    first = step[0]
    return first >= 128, first == _ESCAPE, _ORDER.index(first), step


def _search(matcher: Matcher, words: list[bytes]) -> bytes | None:
    """Look at every byte, and at the words, from ever more places: the nearest first.

    Of the bytes after which the same may follow, one is taken from each place; places like which
    there was none before come first.
    """
    tie = itertools.count()
    places = [(False, 0, next(tie), b"")]
    visits = set[tuple[int, bytes]]()
    for _ in range(_PLACES):
        if not places:
            break
        *_, cost, _, path = heapq.heappop(places)
        with matcher.ahead(path):
            kinds = dict[tuple[int, bytes], bytes]()
            for step in _search_steps(matcher, words):
                with matcher.ahead(step) as fed:
                    if fed < len(step):
                        continue
                    if matcher.accepting:
                        return path + step
                    kind = _mask(matcher), matcher.forced
                if len(step) > 1:
                    heapq.heappush(places, (True, cost + _WORD, next(tie), path + step))
                else:
                    kinds.setdefault(kind, step)
        for kind, step in kinds.items():
            heapq.heappush(places, (kind in visits, cost + 1, next(tie), path + step))
            visits.add(kind)
    return None


def _search_steps(matcher: Matcher, words: list[bytes]) -> list[bytes]:
    """What may be tried next, the most promising first."""
    if forced := matcher.forced:
        return [forced]
    mask = _mask(matcher)
    mask = mask & _ASCII or mask  # other characters that matter are among the words
    return [*(bytes([byte]) for byte in _ORDER if mask >> byte & 1), *words]
