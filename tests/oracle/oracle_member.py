"""One member as the oracle sees it: DESIGN 3.1, 3.2 and its own scores of 3.3.

Every next-token distribution is of a whole forward over prompt, committed and drafted ids: there is
no KV cache, no batch and no tree. (The distributions of one round are remembered, so that the same
question is not asked twice; nothing is computed from what is remembered.)
"""

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from oracle_answer import before_stop, part_of_words
from oracle_grammar import Grammar, Masks
from oracle_text import SPACELESS, Text

Fit = tuple[float, int]

END = -1
"""What a member takes where a grammar leaves it no token: the answer can only end."""


@dataclass(frozen=True)
class Settings:
    margin_threshold: float
    max_words: int
    branches: int
    max_word_tokens: int
    repetition_penalty: float
    rule: str = "words"


@dataclass(frozen=True)
class Draft:
    """`ids` is None where a token holds both the text before a stop string and its beginning.

    `stop`: how many characters before the span belong to a stop string that `path` completes.
    """

    ids: list[int] | None
    words: list[str]
    ends: bool
    stop: int | None = None
    path: tuple[int, ...] = ()


@dataclass(frozen=True)
class Event:
    """A way in which a candidate comes true: its ids, and an "end", a "border" or "anything"."""

    owner: int
    ids: tuple[int, ...]
    tail: str
    log_chance: float


class NotANumberError(ArithmeticError):
    """A member's distribution is none."""


class Member:
    """One member and what it holds of this answer."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        text: Text,
        prompt: list[int],
        settings: Settings,
        grammar: Grammar | None = None,
        stops: Sequence[str] = (),
    ) -> None:
        self.name, self.text, self.settings = name, text, settings
        self.stops, self.strip = stops, False
        self.model: Any = model
        self.prompt, self.committed = prompt, list[int]()
        config = self.model.config.get_text_config()
        self.window = getattr(config, "max_position_embeddings", None) or sys.maxsize
        self.ends = self.text.end_ids(self.model.generation_config.eos_token_id)
        self.gap = math.inf
        self.asked: dict[tuple[int, ...], torch.Tensor] = {}
        self.allowed: dict[tuple[int, ...], set[int] | None] = {}
        self.answer = ""  # of all members: what this one committed may read otherwise
        self.confident = True  # in the last draft
        self.masks: Masks | None = None
        if grammar is not None:
            self.masks = Masks(grammar, text.plain_tokens(), text.continuation)
        if not prompt or self.room <= 0:
            raise ValueError(f"{name}: window {self.window}, prompt of {len(prompt)} tokens")

    @property
    def room(self) -> int:
        return int(self.window - len(self.prompt) - len(self.committed))

    def begin_round(self) -> None:
        self.gap = math.inf
        self.asked.clear()
        self.allowed.clear()

    # Distributions

    def logits(self, span: Sequence[int]) -> torch.Tensor:
        """The model's own logits after the span.  # (V,)"""
        if tuple(span) not in self.asked:
            self.ask(span)
        logits = self.asked[tuple(span)]
        if not math.isfinite(torch.logsumexp(logits, -1).item()):
            raise NotANumberError
        return logits

    def ask(self, span: Sequence[int]) -> None:
        """One forward, which tells what follows the span and each of its beginnings."""
        begin = len(self.prompt) + len(self.committed)
        ids = torch.tensor([[*self.prompt, *self.committed, *span]])
        with torch.no_grad():
            rows = self.model(input_ids=ids, use_cache=False).logits[0, begin - 1 :]
        for place, row in enumerate(rows):
            self.asked.setdefault(tuple(span[:place]), row.float().double())

    def ranking(self, span: Sequence[int]) -> tuple[list[int], list[float], float]:
        """What a draft sees: ids by penalised logit (ties by id), the logits, the margin."""
        logits = self.logits(span)
        penalty = self.settings.repetition_penalty
        if penalty != 1:
            seen = torch.tensor(sorted({*self.prompt, *self.committed, *span}))
            raw = logits[seen]
            shaped = torch.where(raw < 0, raw * penalty, raw / penalty)
            logits = logits.index_put((seen,), shaped)
        allowed = self.mask(span)
        if allowed is not None:
            ids = sorted(allowed & set(range(len(logits))))
            if not ids:
                return [END], [0.0], 1.0
            forbidden = torch.ones(len(logits), dtype=torch.bool)
            forbidden[ids] = False
            logits = logits.masked_fill(forbidden, -math.inf)
        ordered, order = torch.sort(logits, descending=True, stable=True)
        best = ordered.softmax(-1)
        count = len(ordered) if allowed is None else len(ids)
        return order.tolist()[:count], ordered.tolist()[:count], (best[0] - best[1]).item()

    def mask(self, span: Sequence[int]) -> set[int] | None:
        """What the grammar allows after the span; None: everything."""
        if self.masks is None:
            return None
        if tuple(span) not in self.allowed:
            data = b"".join(self.text.token_bytes(token_id) for token_id in span)
            self.allowed[tuple(span)] = self.masks.allowed(self.answer, data, self.ends)
        return self.allowed[tuple(span)]

    def greedy(self, span: Sequence[int]) -> int:
        ids, logits, _ = self.ranking(span)
        self.decide(logits)
        return ids[0]

    def decide(self, logits: list[float]) -> None:
        """Note how near the second best came, if there is one."""
        if len(logits) > 1:
            self.note(logits[0] - logits[1])

    def is_end(self, token: int) -> bool:
        return token == END or token in self.ends

    def note(self, gap: float) -> None:
        if not math.isnan(gap):
            self.gap = min(self.gap, abs(gap))

    # 3.1 and 3.2: words and drafts

    def complete(self, span: list[int], start: int) -> tuple[list[int], str]:
        """Finish the word begun at `start` greedily: as a "word", at the "end", or "cut" short."""
        while True:
            if self.stopped(span) is not None:
                return span, "stop"
            word, unfinished = self.text.read(span[start:])
            spoken = bool(word.strip())
            if not unfinished:
                if len(span) - start >= self.settings.max_word_tokens:
                    return span, "word"
                if spoken and any(character.isspace() for character in word.lstrip()):
                    return span, "word"
                if spoken and SPACELESS.match(word[-1]):
                    return span, "word"
            token = self.greedy(span)
            if self.is_end(token):
                kept = span[:start] + self.text.whole(span[start:])
                spoken = bool(self.text.read(kept[start:])[0].strip())
                return kept, "word" if spoken else "end"
            begins, _ = self.text.read([token])
            if spoken and not unfinished and begins[:1].isspace():
                return span, "word"
            if len(span) >= self.room:
                return span[:start] + self.text.whole(span[start:]), "cut"
            span = [*span, token]

    def stopped(self, span: list[int]) -> int | None:
        """Where in the span a stop string begins that it completes; negative: before it."""
        if not self.stops or self.mask(span) is not None:
            return None
        text, _ = self.text.read(span)
        left_out = len(text) - len(text.lstrip(" ")) if self.strip else 0
        before = before_stop(self.answer + text[left_out:], self.stops)
        if before is None:
            return None
        begin = len(before) - len(self.answer)
        return begin + left_out if begin >= 0 else begin

    def draft(self) -> list[Draft]:
        """This member's candidates, its most probable first."""
        settings = self.settings
        self.confident = True
        span: list[int] = []
        borders = [0]  # where words of the span begin and end, in tokens
        while len(borders) <= (settings.max_words if settings.rule == "paper" else 1):
            start = borders[-1]
            while True:  # the word's decisions
                ids, logits, margin = self.ranking(span)
                if len(ids) > 1:  # else the margin is 1
                    self.note(margin - settings.margin_threshold)
                if margin < settings.margin_threshold:
                    for higher, lower in itertools.pairwise(logits[: settings.branches + 1]):
                        self.note(higher - lower)
                    return self.branch(span, borders, ids[: settings.branches])
                self.decide(logits)
                if self.is_end(ids[0]):
                    return self.proposals([(span, True)], borders)
                if len(span) >= self.room:
                    return self.proposals([(span, False)], borders)
                span = [*span, ids[0]]
                if self.stopped(span) is not None:
                    return self.proposals([(span, True)], borders)
                text, unfinished = self.text.read(span[start:])
                if text.strip() or unfinished or len(span) - start >= settings.max_word_tokens:
                    break
            span, outcome = self.complete(span, start)
            if outcome != "word":
                return self.proposals([(span, outcome in ("end", "stop"))], borders)
            borders = [*borders, len(span)]
        return self.proposals([(span, False)], borders)

    def branch(self, span: list[int], borders: list[int], ids: list[int]) -> list[Draft]:
        spans: list[tuple[list[int], bool]] = []
        self.confident = False
        for token in ids:
            if self.is_end(token):
                if not any(map(self.is_end, ids[: ids.index(token)])):
                    spans.append((span, True))
            elif len(span) >= self.room:
                spans.append((span, False))
            else:
                whole, outcome = self.complete([*span, token], borders[-1])
                spans.append((whole, outcome in ("end", "stop")))
        return self.proposals(spans, borders)

    def proposals(self, spans: list[tuple[list[int], bool]], borders: list[int]) -> list[Draft]:
        drafts = []
        for ids, ends in spans:
            if ids or ends:
                marks = [*borders, len(ids)]
                words = [self.text.read(ids[a:b])[0] for a, b in itertools.pairwise(marks)]
                begin = self.stopped(ids) if ends and ids else None
                if begin is None:
                    drafts.append(Draft(ids, [word for word in words if word], ends))
                else:
                    drafts.append(self.before(ids, words, begin))
        return drafts

    def before(self, ids: list[int], words: list[str], begin: int) -> Draft:
        """The end that a stop string makes, after the text before it."""
        kept = part_of_words(words, 0, max(begin, 0))
        blank = " " if self.strip else ""
        wanted = "".join(kept).lstrip(blank) if blank else "".join(kept)
        for count in range(len(ids) + 1):
            text = self.text.read(ids[:count])[0]
            if (text.lstrip(blank) if blank else text) == wanted:
                return Draft(ids[:count], kept, True, max(-begin, 0), tuple(ids))
        return Draft(None, kept, True, max(-begin, 0), tuple(ids))

    # 3.3 and 3.7: scores

    def score(
        self, ids: list[int], ends: bool, stops: Sequence[tuple[int, ...]] = ()
    ) -> float | None:
        """Mean NLL of the ids, and of the end after them; None where there is nothing to judge."""
        if len(ids) > self.room:
            ids, ends = ids[: self.room], False  # the end would follow a text that is cut
        if not ids and not ends:
            return None
        nll = -self.log_chance(ids)
        if ends:
            ways = [-nll + self.log_end(ids), *map(self.log_chance, stops)]
            nll = -torch.logsumexp(torch.tensor(ways, dtype=torch.double), -1).item()
        return nll / (len(ids) + ends)

    def log_chance(self, ids: Sequence[int]) -> float:
        if ids:
            self.logits(ids[:-1])  # one forward for all of them
        steps = [torch.log_softmax(self.logits(ids[:place]), -1) for place in range(len(ids))]
        return math.fsum(steps[place][token].item() for place, token in enumerate(ids))

    def log_end(self, ids: Sequence[int]) -> float:
        return self.log_sum(ids, sorted(self.ends))

    def log_sum(self, ids: Sequence[int], following: list[int]) -> float:
        chosen = torch.log_softmax(self.logits(ids), -1)[torch.tensor(following, dtype=torch.long)]
        return torch.logsumexp(chosen, -1).item()

    def words(
        self, candidates: Sequence[tuple[list[int], bool, Sequence[tuple[int, ...]]]]
    ) -> list[float | None]:
        """-log of the probability of each (ids, ends, drafts up to a stop) as the next word."""
        events: list[Event] = []
        for owner, (ids, ends, stops) in enumerate(candidates):
            if ids or ends:
                events += self.events(owner, ids, ends, stops)
        left: dict[Event, float] = {}

        def log_left(event: Event) -> float:
            """log of an event's probability without what other candidates hold of it."""
            if event not in left:
                inside = [log_left(other) for other in events if self.holds(event, other)]
                rest = 1.0 - math.fsum(math.exp(log - event.log_chance) for log in inside)
                left[event] = event.log_chance + math.log(rest) if rest > 0 else -math.inf
            return left[event]

        scores: list[float | None] = []
        for owner, (ids, ends, _) in enumerate(candidates):
            own = [log_left(event) for event in events if event.owner == owner]
            total = torch.logsumexp(torch.tensor(own, dtype=torch.double), -1).item() if own else 0
            scores.append(-total if ids or ends else None)
        return scores

    def events(
        self, owner: int, ids: list[int], ends: bool, stops: Sequence[tuple[int, ...]]
    ) -> list[Event]:
        def event(ids: Sequence[int], tail: str, log_tail: float) -> Event:
            return Event(owner, tuple(ids), tail, self.log_chance(ids) + log_tail)

        if len(ids) > self.room:
            return [event(ids[: self.room], "anything", 0.0)]
        if ends:
            own = event(ids, "end", self.log_end(ids))
            return [own, *(event(path, "anything", 0.0) for path in dict.fromkeys(stops))]
        if self.whole(ids):
            return [event(ids, "anything", 0.0)]
        logits = self.logits(ids)
        following = [token for token in range(len(logits)) if self.spaced(token)]
        return [event(ids, "border", self.log_sum(ids, sorted({*following, *self.ends})))]

    def whole(self, ids: list[int]) -> bool:
        """Whether a word is complete whatever comes next (3.1), or a grammar says what comes."""
        text, _ = self.text.read(ids)
        if self.mask(ids) is not None or len(ids) >= self.settings.max_word_tokens:
            return True
        spoken = text.lstrip()
        return any(map(str.isspace, spoken)) or bool(spoken and SPACELESS.match(spoken[-1]))

    def spaced(self, token: int) -> bool:
        return self.text.read([token])[0][:1].isspace()

    def holds(self, event: Event, other: Event) -> bool:
        """Whether another candidate's event is part of this one."""
        length = len(event.ids)
        if other.owner == event.owner or other.ids[:length] != event.ids or event.tail == "end":
            return False
        if len(other.ids) == length:
            return ("end", "border", "anything").index(other.tail) < (
                ("end", "border", "anything").index(event.tail)
            )
        return event.tail == "anything" or self.spaced(other.ids[length])

    def fit(self, texts: Sequence[str]) -> tuple[list[Fit | None], Fit]:
        """NLL and characters of what each message says, and of the whole prompt."""
        pieces = [self.text.token_bytes(token) for token in self.prompt]
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([self.prompt]), use_cache=False).logits[0]
        steps = logits.double().log_softmax(-1)

        def rate(first: int, last: int) -> Fit | None:
            """Of the tokens that hold bytes from `first` to `last`."""
            terms, unknown, end = [], 0, 0
            for place, piece in enumerate(pieces):
                start, end = end, end + len(piece)
                if first < last and start < last and end > first:
                    if place:
                        terms.append(-steps[place - 1][self.prompt[place]].item())
                    else:
                        unknown += 1
            if unknown and not terms:
                return None
            count = len(terms) + unknown
            size = len(b"".join(pieces)[first:last].decode(errors="replace"))
            return math.fsum(terms) * (count / len(terms) if terms else 1.0), size

        whole, begin = b"".join(pieces), 0
        found: list[Fit | None] = []
        for text in texts:
            data = text.strip().encode()
            at = whole.find(data, begin)
            if at >= 0:
                begin = at + len(data)
            found.append(rate(at, begin) if at >= 0 else None)
        return found, rate(0, len(whole)) or (0.0, 1)
