"""Keeping an answer within its grammar, and completing it before its tokens run out.

Stands between the members' drafts and the choice: what the grammar does not allow is left out, and
so is what would leave too few tokens to make the answer whole. It knows texts and counts of tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from adafuse.constraints.constraint import Constraint
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.errors import DecodingError
from adafuse.events import Candidate, Round, cut_words
from adafuse.text.words import split_words
from adafuse.tools import CALL_START

__all__ = ["ConstraintEnforcer", "check_json", "is_whole"]


def is_whole(constraint: Constraint, rounds: Iterable[Round]) -> bool:
    """Whether an answer is all that its constraint asks for."""
    text_matcher = TextMatcher(constraint)
    text_matcher.feed("".join(round_.text for round_ in rounds))
    return text_matcher.accepting


def check_json(constraint: Constraint, text: str) -> None:
    """Raise DecodingError if a schema does not accept a whole answer, whatever its grammar says."""
    if not constraint.schema or text.startswith(CALL_START):
        return
    from adafuse.json_schema.validation import problem  # needs an extra

    if why := problem(json.loads(constraint.schema), text):
        raise DecodingError(
            f"the answer is not what its schema asks for: {why}; simplify the schema"
        )


class ConstraintEnforcer:
    """The constraint of one answer between rounds.

    `counts` tells how many tokens it takes each member to commit (text, ends), by name, and
    `limits` how many more each may commit.
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
        self._completion = self._text_matcher.completion("")
        self._completions: dict[str, str | None] = {}  # by the text before them, in this round
        self._in_time = False  # the completion fits: from then on it always will
        self._left_out: list[str] = []  # texts for which there was no room, as far as they go on
        self._pressed = False  # one of them would have made another answer

    @property
    def since(self) -> int | None:
        """The character of the answer from which on the grammar holds, once it does."""
        return self._text_matcher.since

    @property
    def pending(self) -> int | None:
        """The character from which on it may turn out to hold."""
        return self._text_matcher.pending

    @property
    def complete(self) -> bool:
        """Whether the answer is whole and nothing can follow."""
        return self._text_matcher.complete

    @property
    def cut_short(self) -> bool:
        """Whether a whole answer is so because a limit closed it: the tokens left, or a bound that
        its schema does not have.
        """
        return self._pressed or bool(self._left_out) or self._text_matcher.at_own_bound

    def forced(self) -> Candidate | None:
        """What has to be committed next without a draft, if anything."""
        if self._completion is not None:
            self._in_time = self._fits("", False, self._completion)
        words = self._text_matcher.forced()
        if self.complete:
            return _candidate("", ends=True)
        if not words:
            return None
        completion = self._completion_after(words)
        if self._in_time and (completion is None or not self._fits(words, False, completion)):
            self._pressed = True
            return self.last()
        return _candidate(words)

    def admit(self, pooled: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that may be committed, cut to what the grammar allows."""
        kept = list(filter(None, map(self._admitted, pooled)))
        in_time = list(filter(self._leaves_room, kept)) if self._in_time else kept
        if not in_time and self._is_prose(""):
            in_time = kept  # it may end anywhere
        self._left_out += [candidate.text for candidate in kept if candidate not in in_time]
        merged: dict[tuple[str, bool], Candidate] = {}
        for candidate in in_time:
            key = candidate.text, candidate.ends
            first = merged.setdefault(key, candidate)
            drafters = tuple(dict.fromkeys((*first.drafters, *candidate.drafters)))
            merged[key] = replace(first, drafters=drafters)
        return list(merged.values())

    def last(self) -> Candidate | None:
        """The text that makes the answer whole, if one is known."""
        return _candidate(self._completion, ends=True) if self._completion is not None else None

    def commit(self, text: str) -> None:
        """Append text to the answer."""
        self._completion = self._completion_after(text)
        self._completions.clear()
        others = [other for other in self._left_out if not text.startswith(other)]
        self._left_out = [other[len(text) :] for other in others if other.startswith(text)]
        self._pressed = self._pressed or len(self._left_out) < len(others)
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
        completion = "" if candidate.ends else self._completion_after(candidate.text)
        return completion is not None and self._fits(candidate.text, candidate.ends, completion)

    def _is_prose(self, text: str) -> bool:
        """Whether the answer with `text` behind it is text as without a constraint."""
        return self._prose and self.since is None and not self._text_matcher.triggers(text)

    def _completion_after(self, text: str) -> str | None:
        """A completion of the answer with `text` behind it."""
        if self._completion is not None and self._completion.startswith(text):
            return self._completion[len(text) :]
        if text not in self._completions:
            self._completions[text] = self._text_matcher.completion(text)
        return self._completions[text]

    def _fits(self, text: str, ends: bool, completion: str) -> bool:
        """Whether every member has room for a candidate and what comes behind it."""
        limits = self._limits()
        if len((text + completion).encode()) <= min(limits.values(), default=math.inf):
            return True  # no tokenizer with byte fallback needs more tokens than bytes
        now, later = self._counts(text, ends), self._counts(completion, False)
        return all(now[name] + later[name] <= limits[name] for name in later)


def _candidate(text: str, *, ends: bool = False) -> Candidate:
    return Candidate(text, ends, split_words(text), drafters=())
