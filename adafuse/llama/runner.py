"""A GGUF model in llama.cpp as the token tree needs it; see `adafuse.local.runner.Runner`.

What a token may see is said by the sequences that it is in, so a tree is read in one forward, and
several answers in one. Knows requests and caches, no texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from adafuse.errors import ContextFullError
from adafuse.llama.cache import LlamaCache
from adafuse.llama.context import Context, NoRoomError, Token
from adafuse.llama.weights import Weights
from adafuse.local.batching import scheduler_of
from adafuse.local.cost_curve import CostCurve, unmeasured_width
from adafuse.local.prompt_cache import PromptCache
from adafuse.local.request import Request

__all__ = ["LlamaRunner"]


class LlamaRunner:
    """A model that reads token trees; members with the same file share one.

    Args:
        weights: of the model.
        name: the member's name, for messages.
        cells: tokens of all answers and kept prompts together.
        threads: that compute.
        lora: files of LoRA adapters.

    Raises:
        LoadError: an adapter cannot be used.
        LoadMemoryError, UnsupportedModelError: see `Context`.
    """

    packs = True
    generation_eos: int | list[int] | None = None

    def __init__(
        self, weights: Weights, name: str, *, cells: int, threads: int, lora: Sequence[Path] = ()
    ) -> None:
        self.weights = weights
        adapters = list(map(weights.adapter, lora))
        self.context = Context(weights, cells, threads, adapters)
        self._name = name
        self.device = torch.device("cpu")  # where the logits are, wherever the layers
        self.scheduler = scheduler_of(self.device)
        self.cost_curve: CostCurve | None = None  # until it is measured or given
        self.dtype = weights.description
        self.place = "llama.cpp"
        self.parameters = float(weights.parameters)
        self.vocabulary = self.context.vocabulary
        self.most_logits = self.context.rows
        self.window = min(weights.trained_context or cells, cells)
        self._cell_bytes = weights.cell_bytes()
        # Answers need the rest.
        self.prompts = PromptCache(
            most_bytes=cells * self._cell_bytes // 2, most=self.context.sequences // 8
        )

    def window_of(self, prompt_tokens: int) -> int:
        """How many tokens prompt and answer may have together, however long the prompt is."""
        return self.window

    def prompt_bytes(self, tokens: int) -> int:
        """None: the context has its memory since it was made."""
        return 0

    def spare_curve(self) -> CostCurve | None:
        """What forwards cost one of those that share them now; None if it was not measured."""
        if self.cost_curve is None:
            return None
        return self.cost_curve.shared(self.scheduler.callers, self._spare_sequences())

    def spare_width(self) -> int:
        """How many tokens one sequence may read in a forward that it needs anyway.

        For models that were not measured.
        """
        return unmeasured_width(self.scheduler.callers, self._spare_sequences())

    def _spare_sequences(self) -> int:
        """Sequences that guesses of one caller may take: each may be a leaf."""
        return self.context.free_sequences // (2 * self.scheduler.callers)

    def new_cache(self) -> LlamaCache:
        """A cache that holds nothing yet."""
        return LlamaCache(self.context, self._cell_bytes)

    def forward(self, request: Request) -> torch.Tensor:
        """One forward of one sequence; returns logits of its last tokens, shape (keep, V).

        A text of more than 512 tokens takes several. Where the context is full, caches of
        earlier answers are let go, and it is tried once more; ContextFullError if that is not
        enough.
        """
        with self.context.lock:
            held = request.cache.get_seq_length()
            try:
                return self._read([request])[0]
            except NoRoomError:
                pass
            request.cache.keep(held, [])
            self.prompts.clear()
            try:
                return self._read([request])[0]
            except NoRoomError as error:
                raise ContextFullError(self._name, self.context.cells, str(error)) from None

    def forward_packed(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """One forward of several sequences; returns logits of each as `forward` does."""
        with self.context.lock:
            return self._read(requests)

    def _read(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """In as many calls as they need; called with the context's lock held."""
        self.context.collect()
        readings = [_Reading.of(request) for request in requests]
        waiting = list(readings)
        while waiting:
            parts, tokens, rows = [], self.context.batch, self.context.rows
            for reading in waiting:
                part = reading.next_part(tokens, rows)
                if part.size:
                    parts.append(part)
                    tokens, rows = tokens - part.size, rows - part.rows
            self._decode(parts)
            waiting = [reading for reading in waiting if reading.left]
        return [torch.cat(reading.logits) for reading in readings]

    def _decode(self, parts: Sequence[_Part]) -> None:
        """Read parts of several sequences together: all of them, or none."""
        plans = []
        try:
            for part in parts:
                plan = part.reading.cache.plan(part.parents())
                plans.append(plan)  # at once: it is undone if a later one fails
            tokens = [
                token for part, plan in zip(parts, plans, strict=True)
                for token in part.tokens(plan.positions(), plan.sequences)
            ]  # fmt: skip
            logits = self.context.decode(tokens)
        except BaseException:
            for plan in plans:
                plan.undo()
            raise
        for part, plan, rows in zip(
            parts, plans, torch.split(logits, [part.rows for part in parts]), strict=True
        ):
            plan.done()
            part.reading.take(part, rows)


@dataclass(slots=True)
class _Reading:
    """A request that is read part by part."""

    request: Request
    cache: LlamaCache
    done: int = 0  # tokens
    logits: list[torch.Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request) -> _Reading:
        assert isinstance(request.cache, LlamaCache)
        return cls(request, request.cache)

    @property
    def left(self) -> int:
        """Tokens that are not read yet."""
        return len(self.request.tokens) - self.done

    def next_part(self, tokens: int, rows: int) -> _Part:
        """The tokens to read next: no more than so many, nor more rows of logits."""
        first_wanted = len(self.request.tokens) - self.request.keep
        end = min(self.done + tokens, max(first_wanted, self.done) + rows, len(self.request.tokens))
        return _Part(self, self.done, end, max(end - max(first_wanted, self.done), 0))

    def take(self, part: _Part, logits: torch.Tensor) -> None:
        """Note what was read."""
        self.done = part.end
        self.logits.append(logits)


@dataclass(frozen=True, slots=True)
class _Part:
    """Tokens from `begin` to before `end` of a request, the last `rows` of which are rated."""

    reading: _Reading
    begin: int
    end: int
    rows: int

    @property
    def size(self) -> int:
        return self.end - self.begin

    def parents(self) -> list[int]:
        """The slot before each of them."""
        request = self.reading.request
        start = request.length - request.prefix
        in_prefix = range(start - 1 + self.begin, start - 1 + min(self.end, request.prefix))
        paths = request.paths[
            max(self.begin - request.prefix, 0) : max(self.end - request.prefix, 0)
        ]
        behind = (path[-2] if len(path) > 1 else request.length - 1 for path in paths)
        return [*in_prefix, *behind]

    def tokens(self, positions: Sequence[int], sequences: Sequence[Sequence[int]]) -> list[Token]:
        """As the context takes them."""
        ids = self.reading.request.tokens[self.begin : self.end]
        wanted = self.size - self.rows
        return [
            Token(id_, position, names, at >= wanted)
            for at, (id_, position, names) in enumerate(zip(ids, positions, sequences, strict=True))
        ]
