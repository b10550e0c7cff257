"""One answer's rounds as DESIGN 3.3 to 3.5 has them; a part of the plain oracle (`oracle`)."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

from oracle_answer import OracleRound, part_of_words, split_words
from oracle_grammar import Grammar
from oracle_member import Draft, Member, NotANumberError
from oracle_options import Options, common_words, consistent, size

__all__ = ["Fusion"]


@dataclass
class _Candidate:
    words: list[str]
    drafters: list[int] = field(default_factory=list)  # the members' numbers
    ids: dict[int, list[int]] = field(default_factory=dict)  # what they drafted for just this

    def add(self, other: "_Candidate") -> None:
        self.drafters += [number for number in other.drafters if number not in self.drafters]
        self.ids = other.ids | self.ids


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
            return self.commit(
                {forced: _Candidate(split_words(forced[0]))}, 0, [], limit, forced=True
            )
        drafts = self.drafts()
        self.require(drafts)
        pool = self.contested(drafts, self.pool(drafts))
        if not pool:
            return None
        admitted = self.admit(pool)
        if not admitted:
            self.members[0].note(0.0)  # likewise untold
        pool = admitted or pool
        if len(pool) == 1:
            return self.commit(pool, 0, [], limit)
        table = self.judge(pool, list(drafts))
        winner = self.choose(self.means(table), rng)
        return self.commit(pool, winner, table, limit)

    def drafts(self) -> dict[int, list[Draft]]:
        """Of all members, or of a leader that is confident."""
        drafts: dict[int, list[Draft]] = {}
        for number, member in enumerate(self.members):
            try:
                drafts[number] = member.draft()
            except NotANumberError:
                continue
        leader = self.options.leader
        if leader is not None and drafts.get(leader) and self.members[leader].confident:
            if self.strip and not self.rounds:  # every answer's beginning is known
                self.pool(drafts)
            return {leader: drafts[leader]}
        return drafts

    def contested(self, drafts: dict[int, list[Draft]], pool: Pool) -> Pool:
        """The pool, or the words that all would write by themselves."""
        voters = {n: own[0] for n, own in drafts.items() if own and self.weights[n] > 0}
        if not self.options.contested_only or not voters:
            return pool
        texts = [self.stripped("".join(draft.words)) for draft in voters.values()]
        shared = common_words(list(voters.values()), texts)
        if shared is None:
            return pool
        first = next(iter(voters.values()))
        spoken = "".join(first.words)
        begin = len(spoken) - len(self.stripped(spoken))
        words = part_of_words(first.words, begin, begin + len(shared[0]))
        drafted = pool[shared].ids if shared in pool else {}
        return {shared: _Candidate(words, list(voters), drafted)}

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
                found = _Candidate(words, [number], {number: draft.ids})
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
        table: list[list[float | None]],
        limit: int,
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
            scores=tuple(self.means(table)) if table else (None,) * len(keys),
            member_scores=tuple(map(tuple, table or [[None] * len(self.members) for _ in keys])),
            gap=min(member.gap for member in self.members),
            forced=forced,
        )
        return done, cut

    def require(self, left: Any) -> None:
        if not left:
            names = ", ".join(member.name for member in self.members)
            raise ArithmeticError(f"no finite member in round {len(self.rounds) + 1}: {names}")

    def judge(self, pool: Pool, numbers: list[int]) -> list[list[float | None]]:
        """Every member's score of every candidate; a member with any NaN has none at all."""
        table: list[list[float | None]] = [[None] * len(self.members) for _ in pool]
        judges = []
        for number in numbers:
            try:
                column = [
                    self.members[number].score(
                        c.ids.get(number, self.encode(number, text)),
                        ends,
                        self.size(number, text, ends),
                    )
                    for (text, ends), c in pool.items()
                ]
            except NotANumberError:
                continue
            judges.append(number)
            for row, score in zip(table, column, strict=True):
                row[number] = score
        self.require(judges)
        return table

    def size(self, number: int, text: str, ends: bool) -> int | None:
        """What an NLL is divided by; a text that does not fit counts as far as it was read."""
        member, ids = self.members[number], self.encode(number, text)
        if len(ids) > member.room:
            text, ends = member.text.read(ids[: member.room])[0], False
        return size(text, ends, self.options.scoring)

    def means(self, table: list[list[float | None]]) -> list[float]:
        if self.options.weighting == "consistency":
            return consistent(table, self.weights)
        return [self.mean(row) for row in table]

    def mean(self, row: list[float | None]) -> float:
        both = zip(self.weights, row, strict=True)
        pairs = [(weight, score) for weight, score in both if score is not None]
        if not pairs:
            return math.inf
        return math.fsum(w * score for w, score in pairs) / math.fsum(w for w, _ in pairs)

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
        reached = 0.0
        chosen = None
        for number, mass in enumerate(masses):
            reached += mass / math.fsum(masses)
            self.members[0].note(draw - reached)
            if chosen is None and draw < reached:
                chosen = number
        return lowest if chosen is None else chosen

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
