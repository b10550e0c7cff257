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


@dataclass(frozen=True)
class Draft:
    ids: list[int]
    words: list[str]
    ends: bool


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
    ) -> None:
        self.name, self.text, self.settings = name, text, settings
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

    def draft(self) -> list[Draft]:
        """This member's candidates, its most probable first."""
        settings = self.settings
        self.confident = True
        span: list[int] = []
        borders = [0]  # where words of the span begin and end, in tokens
        while len(borders) <= settings.max_words:
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
                text, unfinished = self.text.read(span[start:])
                if text.strip() or unfinished or len(span) - start >= settings.max_word_tokens:
                    break
            span, outcome = self.complete(span, start)
            if outcome != "word":
                return self.proposals([(span, outcome == "end")], borders)
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
                spans.append((whole, outcome == "end"))
        return self.proposals(spans, borders)

    def proposals(self, spans: list[tuple[list[int], bool]], borders: list[int]) -> list[Draft]:
        drafts = []
        for ids, ends in spans:
            if ids or ends:
                marks = [*borders, len(ids)]
                words = [self.text.read(ids[a:b])[0] for a, b in itertools.pairwise(marks)]
                drafts.append(Draft(ids, [word for word in words if word], ends))
        return drafts

    # 3.3: scores

    def score(self, ids: list[int], ends: bool, size: int | None = None) -> float | None:
        """Mean NLL of the ids, and of the end after them; None where there is nothing to judge."""
        if len(ids) > self.room:
            ids, ends = ids[: self.room], False  # the end would follow a text that is cut
        if ids:
            self.logits(ids if ends else ids[:-1])  # one forward for all of them
        steps = [
            torch.log_softmax(self.logits(ids[:place]), -1) for place in range(len(ids) + ends)
        ]
        terms = [-steps[place][token].item() for place, token in enumerate(ids)]
        if ends:
            end_ids = torch.tensor(sorted(self.ends), dtype=torch.long)
            terms.append(-torch.logsumexp(steps[-1][end_ids], -1).item())
        return math.fsum(terms) / (size or len(terms)) if terms else None

    def fit(self, texts: Sequence[str]) -> tuple[list[Fit | None], Fit]:
        """NLL and tokens of what each message says within the prompt, and of the whole prompt."""
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
            return math.fsum(terms) * (count / len(terms) if terms else 1.0), count

        whole, begin = b"".join(pieces), 0
        found: list[Fit | None] = []
        for text in texts:
            data = text.strip().encode()
            at = whole.find(data, begin)
            if at >= 0:
                begin = at + len(data)
            found.append(rate(at, begin) if at >= 0 else None)
        return found, rate(0, len(whole)) or (0.0, 1)
