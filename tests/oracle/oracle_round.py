"""One answer's rounds as DESIGN 3.3 to 3.5 and 3.7 have them; a part of the plain oracle."""

import itertools
import math
import random
from dataclasses import dataclass, field
from typing import Any

import torch

from oracle_answer import OracleRound, part_of_words, split_words
from oracle_grammar import Grammar
from oracle_member import Draft, Member, NotANumberError
from oracle_options import Options, mean, mixture
from oracle_words import word_scores

__all__ = ["Fusion"]


@dataclass
class _Candidate:
    words: list[str]
    drafters: list[int] = field(default_factory=list)  # the members' numbers
    ids: dict[int, list[int]] = field(default_factory=dict)  # what they drafted for just this
    stop: int | None = None  # how much of a stop string is in the answer before it
    stops: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)  # drafts up to a stop

    def add(self, other: "_Candidate") -> None:
        self.drafters += [number for number in other.drafters if number not in self.drafters]
        self.ids = other.ids | self.ids
        if other is not self and (self.stop, other.stop) != (None, None):
            self.stop = min(self.stop or 0, other.stop or 0)
        for number, paths in other.stops.items():
            known = self.stops.get(number, [])
            self.stops[number] = known + [path for path in paths if path not in known]


Pool = dict[tuple[str, bool], _Candidate]


class Fusion:
    """3.3 to 3.5: the rounds of one answer, and what a grammar makes of them."""

    def __init__(
        self,
        members: list[Member],
        weights: list[float],
        strip: bool,
        temperature: float,
        grammar: Grammar | None = None,
        options: Options = Options(),  # noqa: B008 - frozen
    ) -> None:
        self.members, self.weights, self.options = members, weights, options
        self.strip, self.temperature, self.grammar = strip, temperature, grammar
        self.words = members[0].settings.rule == "words"
        self.rounds: list[OracleRound] = []
        self.blanks: list[bool] = []
        self.answer = ""

    def encode(self, number: int, text: str) -> list[int]:
        blank = " " if text and self.blanks[number] else ""
        return self.members[number].text.continuation(blank + text)

    def stripped(self, text: str) -> str:
        return text.lstrip(" ") if self.strip and not self.rounds else text

    def round(self, rng: random.Random, limit: int) -> tuple[OracleRound, bool] | None:
        """Draft, pool, score and commit; also whether the winner was cut. None: nothing to say."""
        self.blanks = [False] * len(self.members)
        for member in self.members:
            member.begin_round()
        if forced := self.forced():
            return self.commit({forced: _Candidate(split_words(forced[0]))}, 0, limit, forced=True)
        drafts = self.drafts()
        self.require(drafts)
        pool = self.pool(drafts)
        if not pool:
            return None
        admitted = self.admit(pool)
        if not admitted:
            self.members[0].note(0.0)  # likewise untold
        pool = admitted or pool
        if len(pool) == 1:
            return self.commit(pool, 0, limit)
        table, judges = self.judge(pool, list(drafts))
        if self.words:
            pool, table = self.one_end(pool, table, judges)
        means = self.means(table, judges)
        winner = self.choose(means, rng)
        return self.commit(pool, winner, limit, table=table, means=means)

    def drafts(self) -> dict[int, list[Draft]]:
        drafts: dict[int, list[Draft]] = {}
        for number, member in enumerate(self.members):
            member.strip = self.strip and not self.rounds
            try:
                drafts[number] = member.draft()
            except NotANumberError:
                continue
        return drafts

    def forced(self) -> tuple[str, bool] | None:
        if self.grammar is None:
            return None
        if not self.answer and self.grammar.complete(""):
            return "", True
        words = self.grammar.forced(self.answer)
        return (words, False) if words else None

    def pool(self, drafts: dict[int, list[Draft]]) -> Pool:
        pool: Pool = {}
        for number, own in drafts.items():
            first = "".join(own[0].words) if own else ""
            self.blanks[number] = self.blanks[number] or first != self.stripped(first)
            for draft in own:
                spoken = "".join(draft.words)
                text = self.stripped(spoken)
                words = part_of_words(draft.words, len(spoken) - len(text), len(spoken))
                found = _Candidate(words, [number], stop=draft.stop)
                if draft.ids is not None:
                    found.ids = {number: draft.ids}
                if draft.stop is not None:
                    found.stops = {number: [draft.path]}
                pool.setdefault((text, draft.ends), found).add(found)
        return pool

    def admit(self, pool: Pool) -> Pool:
        """The candidates as the grammar allows them, without those of which nothing remains."""
        if self.grammar is None:
            return pool
        admitted: Pool = {}
        for (text, ends), candidate in pool.items():
            kept = self.grammar.longest(self.answer, text)
            whole = ends and kept == text and self.grammar.whole(self.answer + kept)
            if (kept, whole) != (text, ends):  # then nobody drafted it
                words = part_of_words(candidate.words, 0, len(kept))
                candidate = _Candidate(words, candidate.drafters)
            if kept or whole:
                admitted.setdefault((kept, whole), candidate).add(candidate)
        return admitted

    def commit(
        self,
        pool: Pool,
        winner: int,
        limit: int,
        table: list[list[float | None]] | None = None,
        means: list[float] | None = None,
        forced: bool = False,
    ) -> tuple[OracleRound, bool]:
        keys, candidates = list(pool), list(pool.values())
        (text, ends), candidate = keys[winner], candidates[winner]
        text, ids, cut = self.fit(text, candidate, limit)
        for member, new in zip(self.members, ids, strict=True):
            member.committed += new
            member.answer += text
        self.answer += text
        ends = ends or (self.grammar is not None and self.grammar.complete(self.answer))
        names = [tuple(self.members[n].name for n in c.drafters) for c in candidates]
        done = OracleRound(
            text=text,
            ends=ends and not cut,
            words=tuple(part_of_words(candidate.words, 0, len(text))),
            drafter="" if forced else names[winner][0],
            candidates=tuple(keys),
            drafters=tuple(names),
            scores=tuple(means) if means else (None,) * len(keys),
            member_scores=tuple(map(tuple, table or [[None] * len(self.members) for _ in keys])),
            gap=min(member.gap for member in self.members),
            forced=forced,
            stop=candidate.stop if ends and not cut else None,
        )
        return done, cut

    def require(self, left: Any) -> None:
        if not left:
            names = ", ".join(member.name for member in self.members)
            raise ArithmeticError(f"no finite member in round {len(self.rounds) + 1}: {names}")

    def judge(self, pool: Pool, numbers: list[int]) -> tuple[list[list[float | None]], list[int]]:
        """Every member's score of every candidate; a member with any NaN has none at all."""
        table: list[list[float | None]] = [[None] * len(self.members) for _ in pool]
        judges = []
        for number in numbers:
            member = self.members[number]
            read = [
                (c.ids.get(number, self.encode(number, text)), ends, c.stops.get(number, []))
                for (text, ends), c in pool.items()
            ]
            try:
                column = (
                    word_scores(member, read)
                    if self.words
                    else [member.score(*one) for one in read]
                )
            except NotANumberError:
                continue
            judges.append(number)
            for row, score in zip(table, column, strict=True):
                row[number] = score
        self.require(judges)
        return table, judges

    def one_end(
        self, pool: Pool, table: list[list[float | None]], judges: list[int]
    ) -> tuple[Pool, list[list[float | None]]]:
        """All ways to end the answer here as one candidate, at the place of the first."""
        keys = list(pool)
        places = [at for at, (text, ends) in enumerate(keys) if ends and not text.strip()]
        if len(places) < 2:
            return pool, table
        means = self.means(table, judges)
        best = min(places, key=means.__getitem__)
        one = pool[keys[best]]
        for at in places:
            if at != best:
                self.members[0].note(means[at] - means[best])
        drafters = [n for at in places for n in pool[keys[at]].drafters]
        stopped = any(pool[keys[at]].stop is not None for at in places)
        stop = (one.stop or 0) if stopped else None
        merged = _Candidate(one.words, list(dict.fromkeys(drafters)), one.ids, stop)
        row: list[float | None] = []
        for column in range(len(self.members)):
            nlls = [nll for at in places if (nll := table[at][column]) is not None]
            total = -torch.logsumexp(-torch.tensor(nlls, dtype=torch.double), -1).item()
            row.append(total if nlls else None)
        kept = [at for at in range(len(keys)) if at not in places[1:]]
        united = {
            keys[best if at == places[0] else at]: merged if at == places[0] else pool[keys[at]]
            for at in kept
        }
        return united, [row if at == places[0] else table[at] for at in kept]

    def means(self, table: list[list[float | None]], judges: list[int]) -> list[float]:
        if self.words and self.options.combine == "mixture":
            return [mixture(row, self.weights, judges) for row in table]
        return [mean(row, self.weights) for row in table]

    def choose(self, scores: list[float], rng: random.Random) -> int:
        lowest = min(range(len(scores)), key=scores.__getitem__)  # the first of equals
        best, second = sorted(scores)[:2]
        if self.temperature == 0:
            self.members[0].note(second - best)
            return lowest
        draw = rng.random()
        if math.isinf(best):
            return lowest
        masses = [math.exp((best - score) / self.temperature) for score in scores]
        masses = self.likeliest(masses)
        reached = 0.0
        chosen = None
        for number, mass in enumerate(masses):
            reached += mass / math.fsum(masses)
            self.members[0].note(draw - reached)
            if chosen is None and draw < reached:
                chosen = number
        return lowest if chosen is None else chosen

    def likeliest(self, masses: list[float]) -> list[float]:
        """Without those that are not among the likeliest, which have `top_p` together."""
        if self.options.top_p == 1:
            return masses
        order = sorted(range(len(masses)), key=lambda at: -masses[at])
        kept, together = [0.0] * len(masses), 0.0
        for at in order:
            share = math.fsum(masses) * self.options.top_p
            self.members[0].note((together - share) / math.fsum(masses))
            if together >= share:
                break
            kept[at], together = masses[at], together + masses[at]
        for one, other in itertools.pairwise(order):
            self.members[0].note((masses[one] - masses[other]) / math.fsum(masses))
        return kept

    def fit(self, text: str, winner: _Candidate, limit: int) -> tuple[str, list[list[int]], bool]:
        """The winner for every member, cut until it fits all of them."""
        rooms = [member.room for member in self.members]
        rooms[0] = min(rooms[0], limit - len(self.members[0].committed))
        everyone = range(len(rooms))
        ids = [winner.ids.get(number, self.encode(number, text)) for number in everyone]
        cut = False
        while any(len(ids[number]) > rooms[number] for number in everyone):
            cut = True
            for number in everyone:
                if len(ids[number]) > rooms[number]:
                    text, kept = self.shorten(number, text, ids[number][: rooms[number]])
                    ids = [kept if n == number else self.encode(n, text) for n in everyone]
        return text, ids, cut

    def shorten(self, number: int, text: str, fitting: list[int]) -> tuple[str, list[int]]:
        kept = self.members[number].text.whole(fitting)
        shorter = self.stripped(self.members[number].text.read(kept)[0])
        if text.startswith(shorter) and len(shorter) < len(text):
            return shorter, kept
        for length in reversed(range(len(text))):  # lossy: its ids are another text
            kept = self.encode(number, text[:length])
            if len(kept) <= len(fitting):
                return text[:length], kept
        raise AssertionError("no text at all does not fit")
