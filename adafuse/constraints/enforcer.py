"""Keeping an answer within its grammar, and closing it before its tokens run out.

Stands between the members' drafts and the choice: what the grammar does not allow is left out, and
so is what would leave too few tokens to make the answer whole. It knows texts and counts of tokens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace

from adafuse.answer import Answer
from adafuse.constraints.constraint import Constraint
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.errors import DecodingError, IncompleteAnswerError
from adafuse.events import Candidate, Round, cut_words
from adafuse.tools import CALL_START

__all__ = ["ConstraintEnforcer", "is_whole", "refuse_parts"]

_WORD = re.compile(r"\s*\S+|\s+$")


def is_whole(constraint: Constraint, rounds: Iterable[Round]) -> bool:
    """Whether an answer is all that its constraint asks for."""
    text_matcher = TextMatcher(constraint)
    text_matcher.feed("".join(one.text for one in rounds))
    return text_matcher.accepting


class ConstraintEnforcer:
    """The constraint of one answer between rounds.

    Args:
        constraint: what the answer must be.
        counts: how many tokens it takes each member to commit (text, ends), by name.
        limits: how many more tokens each member may commit, by name.
    """

    def __init__(
        self,
        constraint: Constraint,
        counts: Callable[[str, bool], Mapping[str, int]],
        limits: Callable[[], Mapping[str, int]],
    ) -> None:
        self._text_matcher = TextMatcher(constraint)
        self._prose = constraint.prose
        self._counts = counts
        self._limits = limits
        self._closing = self._text_matcher.closing("")
        self._closings: dict[str, str | None] = {}  # by the text that comes before, in this round
        self._in_time = False  # the closing fits: from then on it always will

    @property
    def since(self) -> int | None:
        """The character of the answer with which its trigger begins, once there is one."""
        return self._text_matcher.since

    @property
    def complete(self) -> bool:
        """Whether the answer is whole and nothing can follow."""
        return self._text_matcher.complete

    def forced(self) -> Candidate | None:
        """What has to be committed next without a draft, if anything."""
        if self._closing is not None:
            self._in_time = self._fits("", False, self._closing)
        words = self._text_matcher.forced()
        if self.complete:
            return _candidate("", ends=True)
        if not words:
            return None
        rest = self._after(words)
        if self._in_time and (rest is None or not self._fits(words, False, rest)):
            return self.last()
        return _candidate(words)

    def admit(self, pooled: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that may be committed, cut to what the grammar allows."""
        admitted = map(self._admitted, pooled)
        kept = [one for one in admitted if one is not None]
        in_time = [one for one in kept if self._leaves_room(one)] if self._in_time else kept
        if not in_time and self._is_prose(""):
            in_time = kept  # it may end anywhere
        merged: dict[tuple[str, bool], Candidate] = {}
        for one in in_time:
            first = merged.setdefault((one.text, one.ends), one)
            drafters = tuple(dict.fromkeys((*first.drafters, *one.drafters)))
            merged[one.text, one.ends] = replace(first, drafters=drafters)
        return list(merged.values())

    def last(self) -> Candidate | None:
        """The text that makes the answer whole, if one is known."""
        return _candidate(self._closing, ends=True) if self._closing is not None else None

    def commit(self, text: str) -> None:
        """Append text to the answer."""
        self._closing = self._after(text)
        self._closings.clear()
        self._text_matcher.feed(text)

    def _admitted(self, candidate: Candidate) -> Candidate | None:
        text, ends = self._text_matcher.admit(candidate.text, candidate.ends)
        if not text and not ends:
            return None
        if (text, ends) == (candidate.text, candidate.ends):
            return candidate
        return replace(candidate, text=text, ends=ends, words=cut_words(candidate.words, len(text)))

    def _leaves_room(self, candidate: Candidate) -> bool:
        if self._is_prose(candidate.text):
            return True  # it may be cut anywhere
        rest = "" if candidate.ends else self._after(candidate.text)
        return rest is not None and self._fits(candidate.text, candidate.ends, rest)

    def _is_prose(self, text: str) -> bool:
        """Whether the answer with `text` behind it is text as without a constraint."""
        return self._prose and self.since is None and not self._text_matcher.triggers(text)

    def _after(self, text: str) -> str | None:
        """A closing for the answer with `text` behind it."""
        if self._closing is not None and self._closing.startswith(text):
            return self._closing[len(text) :]
        if text not in self._closings:
            self._closings[text] = self._text_matcher.closing(text)
        return self._closings[text]

    def _fits(self, text: str, ends: bool, rest: str) -> bool:
        """Whether every member has room for a candidate and what comes behind it."""
        limits = self._limits()
        if len((text + rest).encode()) <= min(limits.values(), default=math.inf):
            return True  # no tokenizer with byte fallback needs more tokens than bytes
        now, later = self._counts(text, ends), self._counts(rest, False)
        return all(now[name] + later[name] <= limits[name] for name in later)


def _candidate(text: str, *, ends: bool = False) -> Candidate:
    return Candidate(text, ends, tuple(_WORD.findall(text)), drafters=())


def refuse_parts(rounds: Generator[Round], constraint: Constraint) -> Generator[Round]:
    """Pass rounds on, and raise an error unless they are a whole answer that its schema accepts."""
    done = []
    for one in rounds:
        done.append(one)
        yield one
    if not is_whole(constraint, done):
        raise IncompleteAnswerError(constraint.what, Answer.fold(done))
    text = "".join(round_.text for round_ in done)
    if constraint.schema and not text.startswith(CALL_START):
        _check_json(constraint.schema, text)


def _check_json(schema: str, text: str) -> None:
    """Raise DecodingError for what a schema does not accept, whatever its grammar says."""
    from adafuse.json_schema.validation import problem  # needs an extra

    if why := problem(json.loads(schema), text):
        raise DecodingError(
            f"the answer is not what its schema asks for: {why}; simplify the schema"
        )
