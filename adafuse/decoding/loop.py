"""The loop: draft, pool, score, commit, until the answer ends (DESIGN 3).

`fuse` is the only loop; everything that generates or streams folds it. It speaks to members in
strings and plain values and does not know what a model, a token or a tensor is.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from adafuse.answer import Answer
from adafuse.config import DecodingConfig
from adafuse.constraints.constraint import Constraint
from adafuse.constraints.enforcer import ConstraintEnforcer, check_json, is_whole
from adafuse.decoding.candidates import choose, pool
from adafuse.decoding.combining import combined
from adafuse.decoding.failures import FailurePolicy, check_floor
from adafuse.decoding.held_rounds import HeldRounds
from adafuse.decoding.member import Drafts, Member
from adafuse.decoding.opening import open_sessions
from adafuse.decoding.sessions import SessionGroup
from adafuse.decoding.weighting import (
    check_rated,
    member_weights,
    prompt_weights,
    with_weight,
)
from adafuse.errors import AnswerTimeoutError, DecodingError, IncompleteAnswerError, NonFiniteError
from adafuse.events import Candidate, FinishReason, MemberUsage, Round, cut_words
from adafuse.prompting.prompt import Prompt

__all__ = ["fuse"]

_MOST_IDLE = 8  # rounds without a text


def fuse(
    members: Sequence[Member], prompt: Prompt, config: DecodingConfig, *, rated: bool = False
) -> Generator[Round]:
    """Decode one answer, yielding its rounds; the last one has the finish reason and usage.

    With `rated` a word that all members agree on has its score too; the answer is the same. A round
    is held back while its text could begin a stop string. Closing the iterator early closes every
    session.

    Raises:
        ConfigError: at once: settings that do not go with these members.
        PromptError, ContextWindowError: by the first round, before any forward.
        MemberError: a member failed, and members that fail are not dropped.
        TooFewMembersError: too many were dropped.
        AnswerTimeoutError: decoding has taken longer than `timeout`.
        NonFiniteError: no member is left in a round.
        IncompleteAnswerError: after the last round, which says why: it is not all that the prompt's
            constraint asks for.
        DecodingError: no member can go on as the constraint asks.
    """
    weights = member_weights(members, config)
    check_floor(list(weights), config)
    rounds, constraint = _rounds(members, prompt, config, weights, rated), prompt.constraint
    return _whole(rounds, constraint) if constraint is not None and constraint.strict else rounds


def _rounds(
    members: Sequence[Member],
    prompt: Prompt,
    config: DecodingConfig,
    weights: dict[str, float],
    rated: bool,
) -> Generator[Round]:
    failures = FailurePolicy(weights, config)
    sessions = open_sessions(members, prompt, config, failures)
    # By words a member without weight proposes nothing: its drafts are hints for the others.
    silent = {name for name, weight in weights.items() if not weight and config.rule == "words"}
    with closing(SessionGroup(sessions, config, failures, silent)) as group:
        yield from _Fusion(group, weights, config, prompt.constraint, failures, rated).rounds()


def _whole(rounds: Generator[Round], constraint: Constraint) -> Generator[Round]:
    """Pass rounds on, and raise an error unless they are a whole answer."""
    done = []
    with closing(rounds):
        for round_ in rounds:
            done.append(round_)
            yield round_
    if not is_whole(constraint, done):
        raise IncompleteAnswerError(constraint.what, Answer.fold(done))
    check_json(constraint, "".join(round_.text for round_ in done))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The candidate to commit and what led to it."""

    candidates: tuple[Candidate, ...]
    winner: int
    left_out: tuple[str, ...] = ()
    forced: bool = False


class _Fusion:
    """State of one answer between rounds."""

    def __init__(
        self,
        group: SessionGroup,
        weights: dict[str, float],
        config: DecodingConfig,
        constraint: Constraint | None,
        failures: FailurePolicy,
        rated: bool,
    ) -> None:
        self._group = group
        self._rated = rated
        self._weights = weights
        self._config = config
        self._failures = failures
        self._rng = random.Random(config.seed)
        self._enforcer: ConstraintEnforcer | None = None
        if constraint is not None:
            self._enforcer = ConstraintEnforcer(constraint, group.counts, group.limits)
        # Else the grammar says where the answer ends, and how it begins.
        self._prose = constraint is None or constraint.prose
        stops = list(config.stop) if constraint is None or constraint.strict or self._prose else []
        if self._prose:
            voting = (group.sessions[name] for name in group.voters)
            stops += (stop for session in voting for stop in session.extra_stops)
        self._held = HeldRounds(stops)

    def rounds(self) -> Generator[Round]:
        """Yield rounds, each once none of its text can be part of a stop string."""
        exponent = self._config.prompt_exponent
        if exponent:
            check_rated(self._weights, self._group.sessions)
        begun = time.monotonic()
        self._group.prefill()
        if exponent:
            names = with_weight(self._group.sessions, self._weights)
            fits = self._group.prompt_nlls(names)
            self._weights = prompt_weights(self._weights, fits, exponent)
            self._failures.reweigh(self._weights)
        index = idle = 0
        spent = time.monotonic() - begun  # decoding; not while nobody asks for a round
        while True:
            index, begun = index + 1, time.monotonic()
            self._group.begin(index)
            round_ = replace(self._round(index), dropped=self._failures.report())
            spent += time.monotonic() - begun
            idle = 0 if round_.text or round_.finish_reason else idle + 1
            if idle > _MOST_IDLE:  # a member of one's own may draft nothing for ever
                raise DecodingError(f"{idle} rounds added nothing: {[*self._group.sessions]}")
            call_begins, pending = self._call_begins()
            reason = self._held.add(round_, call_begins, pending=pending)
            if reason is not None:
                yield from self._held.finish(reason, self._usage())
                return
            yield from self._held.ready()
            if self._config.timeout is not None and spent > self._config.timeout:
                raise AnswerTimeoutError(self._config.timeout, self._failures.committed)

    def _call_begins(self) -> tuple[int | None, bool]:
        """With which character a call begins, if one does, and whether it only may."""
        if self._enforcer is None:
            return None, False
        since, pending = self._enforcer.since, self._enforcer.pending
        return (pending, True) if since is None and pending is not None else (since, False)

    def _usage(self) -> dict[str, MemberUsage]:
        """What the answer has cost, and with what weight each member's scores counted."""
        total = sum(self._weights.values())
        same = len(self._group.sessions) == len(self._weights)  # in all rounds
        return {
            name: replace(used, weight=self._weights[name] / total if same else None)
            for name, used in self._group.usage.items()
        }

    def _round(self, index: int) -> Round:
        """Decode one round and commit its winner."""
        drafted: dict[str, Drafts] = {}
        if self._enforcer is not None and (forced := self._enforcer.forced()) is not None:
            outcome = _Outcome((forced,), 0, forced=True)
        else:
            voting = (self._group.sessions[name] for name in self._group.voters)
            strip = index == 1 and self._prose and any(session.templated for session in voting)
            drafted = self._group.draft(strip)
            outcome = self._decide(index, drafted)
        text, words, drafters = "", tuple[str, ...](), tuple[str, ...]()
        finish: FinishReason | None = "length"  # if no member has room to draft anything
        if outcome.winner >= 0:
            chosen = outcome.candidates[outcome.winner]
            text, finish = self._commit(chosen)
            self._group.sharing.settle(outcome.candidates, outcome.winner)
            words, drafters = cut_words(chosen.words, len(text)), chosen.drafters
        return Round(
            index=index,
            text=text,
            words=words,
            ends=finish == "stop",
            member=drafters[0] if drafters else "",
            drafters=drafters,
            candidates=outcome.candidates,
            winner=outcome.winner,
            margins={name: drafts.margins for name, drafts in drafted.items()},
            confident=all(drafts.confident for drafts in drafted.values()),
            unanimous=len(outcome.candidates) == 1 and not outcome.forced,
            scored=len(outcome.candidates) > 1,
            forced=outcome.forced,
            rule=self._config.rule,
            left_out=outcome.left_out,
            finish_reason=finish,
        )

    def _decide(self, index: int, drafted: dict[str, Drafts]) -> _Outcome:
        """Pool the drafts and, unless they agree, let every member score every candidate."""
        bad = self._not_finite("draft", [n for n, drafts in drafted.items() if not drafts.finite])
        if bad and len(bad) == len(drafted):
            raise NonFiniteError(tuple(bad), index, self._failures.committed)
        drafted = {name: drafted[name] for name in drafted if name in self._group.sessions}
        pooled = pool({name: drafts.drafts for name, drafts in drafted.items()})
        if self._enforcer is not None and pooled:
            pooled = self._enforcer.admit(pooled)
            if not pooled:
                return self._closed(index, tuple(bad))
        if len(pooled) <= 1:
            return _Outcome(self._agreed(pooled, bad), len(pooled) - 1, tuple(bad))
        spans = [(candidate.text, candidate.ends) for candidate in pooled]
        scores: dict[str, list[float | None]] = {}
        scorers = [name for name in self._group.voters if name not in bad]
        for name, own_scores in self._group.score(scorers, spans).items():
            if any(score is not None and math.isnan(score) for score in own_scores):
                bad += self._not_finite("score", [name])
            else:
                scores[name] = own_scores
        if not with_weight(scores, self._weights):
            raise NonFiniteError(tuple(bad), index, self._failures.committed)
        nlls = [
            {name: nll for name, own in scores.items() if (nll := own[at]) is not None}
            for at in range(len(pooled))
        ]
        candidates = combined(pooled, nlls, self._weights, self._config)
        final = [math.inf if one.score is None else one.score for one in candidates]
        winner = choose(final, self._config.temperature, self._rng, self._config.top_p)
        return _Outcome(candidates, winner, tuple(bad))

    def _agreed(self, pooled: list[Candidate], bad: list[str]) -> tuple[Candidate, ...]:
        """The candidate that needs no scores, with its scores if they are asked for."""
        if not (self._rated and pooled and pooled[0].text):
            return tuple(pooled)
        scorers = [name for name in self._group.voters if name not in bad]
        scores = self._group.score(scorers, [(pooled[0].text, pooled[0].ends)])
        known = {name: nll for name, (nll,) in scores.items() if nll is not None and nll == nll}
        if not with_weight(known, self._weights):
            return tuple(pooled)
        return combined(pooled, [known], self._weights, self._config)

    def _closed(self, index: int, bad: tuple[str, ...]) -> _Outcome:
        """Commit what makes the answer whole, since nothing that was drafted can go on."""
        assert self._enforcer is not None
        last = self._enforcer.last()
        if last is None:
            names = ", ".join(self._group.sessions)
            raise DecodingError(
                f"round {index}: nothing that the members drafted ({names}) goes on as the grammar "
                "asks, and no other end of the answer was found; simplify the grammar"
            )
        return _Outcome((last,), 0, bad, forced=True)

    def _commit(self, winner: Candidate) -> tuple[str, FinishReason | None]:
        """Commit the winner, cut to what fits; return the text and why the answer ends, if so."""
        text, cut = self._group.fit(winner.text, winner.ends)
        self._group.commit(text, winner.ends and not cut)
        self._failures.committed += text
        if self._enforcer is not None:
            self._enforcer.commit(text)
        if not cut and (winner.ends or (self._enforcer is not None and self._enforcer.complete)):
            if self._enforcer is not None and self._enforcer.cut_short:
                return text, "length"
            return text, "stop" if winner.stop is None else "stop_string"
        if cut or min(self._group.limits().values()) <= 0:
            return text, "length"
        return text, None

    def _not_finite(self, phase: str, names: list[str]) -> list[str]:
        """Members whose numbers were not finite: left out of the round, or dropped."""
        if not self._failures.drops:
            return names
        for name in names:
            self._group.lose(name, phase, FloatingPointError("its numbers were not finite"))
        return []
