"""The plain oracle of DESIGN 3.6: slow, and as close to the words of DESIGN section 3 as code gets.

It keeps no KV cache, batches nothing, and uses none of the package's code, so that what the package
misreads is not misread here too. `oracle_text` is one tokenizer, `oracle_member` one member's
drafts and scores; here are the rounds of an answer.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from oracle_member import Draft, Member, NotANumberError, Settings
from oracle_text import Message, Text

FALLBACK_STOP = "\n\nUser:"


@dataclass(frozen=True)
class OracleMember:
    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weight: float = 1.0


@dataclass(frozen=True)
class OracleRound:
    """What a round committed and why; rounds' texts, and all words, concatenate to the answer."""

    text: str
    ends: bool
    words: tuple[str, ...]
    drafter: str
    candidates: tuple[tuple[str, bool], ...]  # in pool order: the members', each's drafts' order
    drafters: tuple[tuple[str, ...], ...]  # for each candidate
    scores: tuple[float | None, ...]  # for each candidate; None where nothing was scored
    member_scores: tuple[tuple[float | None, ...], ...]  # for each candidate, each member's
    gap: float  # how near the nearest decision of the round was to going the other way


@dataclass(frozen=True)
class OracleAnswer:
    text: str
    rounds: tuple[OracleRound, ...]
    finish_reason: str
    token_ids: dict[str, tuple[int, ...]]  # what was committed; a stop string stays in them


@dataclass
class _Candidate:
    words: list[str]
    ids: dict[int, list[int]] = field(default_factory=dict)  # by the number of who drafted it


class _Fusion:
    """3.3 to 3.5: the rounds of one answer."""

    def __init__(
        self, members: list[Member], weights: list[float], strip: bool, temperature: float
    ) -> None:
        self.members, self.weights = members, weights
        self.strip, self.temperature = strip, temperature
        self.rounds: list[OracleRound] = []
        self.blanks: list[bool] = []

    def encode(self, number: int, text: str) -> list[int]:
        blank = " " if text and self.blanks[number] else ""
        return self.members[number].text.continuation(blank + text)

    def stripped(self, text: str) -> str:
        return text.lstrip(" ") if self.strip and not self.rounds else text

    def round(self, rng: random.Random, limit: int) -> tuple[OracleRound, bool] | None:
        """Draft, pool, score and commit; also whether the winner was cut. None: nothing to say."""
        drafts: dict[int, list[Draft]] = {}
        for number, member in enumerate(self.members):
            member.begin_round()
            try:
                drafts[number] = member.draft()
            except NotANumberError:
                continue
        self.require(drafts)
        pool: dict[tuple[str, bool], _Candidate] = {}
        self.blanks = [False] * len(self.members)
        for number, own in drafts.items():
            first = "".join(own[0].words) if own else ""
            self.blanks[number] = first != self.stripped(first)
            for draft in own:
                spoken = "".join(draft.words)
                text = self.stripped(spoken)
                words = _slice(draft.words, len(spoken) - len(text), len(spoken))
                candidate = pool.setdefault((text, draft.ends), _Candidate(words))
                candidate.ids.setdefault(number, draft.ids)
        if not pool:
            return None
        keys, candidates = list(pool), list(pool.values())
        scores: list[float | None] = [None] * len(keys)
        table: list[list[float | None]] = [[None] * len(self.members) for _ in keys]
        winner = 0
        if len(keys) > 1:
            table = self.judge(pool, list(drafts))
            means = [self.mean(row) for row in table]
            winner = self.choose(means, rng)
            scores = list(means)
        (text, ends), candidate = keys[winner], candidates[winner]
        text, ids, cut = self.fit(text, candidate, limit)
        for member, new in zip(self.members, ids, strict=True):
            member.committed += new
        names = [tuple(self.members[n].name for n in c.ids) for c in candidates]
        done = OracleRound(
            text=text,
            ends=ends and not cut,
            words=tuple(_slice(candidate.words, 0, len(text))),
            drafter=names[winner][0],
            candidates=tuple(keys),
            drafters=tuple(names),
            scores=tuple(scores),
            member_scores=tuple(map(tuple, table)),
            gap=min(member.gap for member in self.members),
        )
        return done, cut

    def require(self, left: Any) -> None:
        if not left:
            names = ", ".join(member.name for member in self.members)
            raise ArithmeticError(f"no finite member in round {len(self.rounds) + 1}: {names}")

    def judge(
        self, pool: dict[tuple[str, bool], _Candidate], numbers: list[int]
    ) -> list[list[float | None]]:
        """Every member's score of every candidate; a member with any NaN has none at all."""
        table: list[list[float | None]] = [[None] * len(self.members) for _ in pool]
        judges = []
        for number in numbers:
            try:
                column = [
                    self.members[number].score(c.ids.get(number, self.encode(number, text)), ends)
                    for (text, ends), c in pool.items()
                ]
            except NotANumberError:
                continue
            judges.append(number)
            for row, score in zip(table, column, strict=True):
                row[number] = score
        self.require(judges)
        return table

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


def _slice(words: Sequence[str], start: int, stop: int) -> list[str]:
    """The words of a part of their text."""
    pieces = []
    for word in words:
        pieces.append(word[max(start, 0) : max(stop, 0)])
        start, stop = start - len(word), stop - len(word)
    return [piece for piece in pieces if piece]


def _before_stop(text: str, stops: Sequence[str]) -> str | None:
    """The text before the stop that is completed first, the longest of those completed there."""
    for end in range(1, len(text) + 1):
        completed = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if completed:
            return text[: end - max(map(len, completed))]
    return None


def _cut_rounds(rounds: list[OracleRound], length: int) -> tuple[OracleRound, ...]:
    """The rounds of the answer's first characters: a stop may have begun in an earlier round."""
    cut = []
    for done in rounds:
        words = tuple(_slice(done.words, 0, length))
        cut.append(replace(done, text=done.text[: max(length, 0)], words=words))
        length -= len(done.text)
    return tuple(cut)


def _open(
    given: OracleMember, prompt: str | list[Message], prompt_format: str
) -> tuple[Text, list[int], str]:
    """3.4: how a member reads the prompt."""
    text = Text(given.tokenizer)
    chat = not isinstance(prompt, str) or prompt_format == "chat"
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if text.has_template and (chat or prompt_format == "auto"):
        return text, text.template_prompt(messages), "template"
    if chat:
        return text, text.fallback_prompt(messages), "fallback"
    return text, text.raw_prompt(str(prompt)), "raw"


def run(
    members: Sequence[OracleMember],
    prompt: str | list[Message],
    *,
    prompt_format: str = "raw",
    margin_threshold: float = 0.7,
    max_words: int = 3,
    branches: int = 3,
    max_word_tokens: int = 16,
    temperature: float = 0.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
    max_new_tokens: int = 256,
    repetition_penalty: float = 1.0,
) -> OracleAnswer:
    settings = Settings(margin_threshold, max_words, branches, max_word_tokens, repetition_penalty)
    opened = [_open(given, prompt, prompt_format) for given in members]
    forms = [form for _, _, form in opened]
    stops = [*stop, FALLBACK_STOP] if "fallback" in forms else list(stop)
    own = [
        Member(given.name, given.model, text, ids, settings)
        for given, (text, ids, _) in zip(members, opened, strict=True)
    ]
    weights = [given.weight for given in members]
    fusion = _Fusion(own, weights, strip="template" in forms, temperature=temperature)
    rng = random.Random(seed)
    answer, finish = "", None
    while finish is None:
        step = fusion.round(rng, max_new_tokens)
        if step is None:
            finish = "length"
            break
        done, cut = step
        fusion.rounds.append(done)
        answer += done.text
        before = _before_stop(answer, stops)
        if before is not None:
            answer, finish = before, "stop_string"
        elif done.ends:
            finish = "stop"
        elif cut or len(own[0].committed) >= max_new_tokens or any(m.room <= 0 for m in own):
            finish = "length"
    return OracleAnswer(
        text=answer,
        rounds=_cut_rounds(fusion.rounds, len(answer)),
        finish_reason=finish,
        token_ids={member.name: tuple(member.committed) for member in own},
    )
