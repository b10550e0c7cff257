"""A member in this process: a transformers model, its tokenizer, and one cache per answer."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adafuse.backbone import Backbone
from adafuse.cache import Node
from adafuse.config import DecodingConfig
from adafuse.drafting import Drafter
from adafuse.errors import ContextWindowError
from adafuse.events import Loss, MemberUsage
from adafuse.grammars import TokenTable
from adafuse.guesses import Guesses
from adafuse.masks import TokenMasks, token_table
from adafuse.member import Draft, Drafts
from adafuse.probe import prepare
from adafuse.prompts import Prompt
from adafuse.reading import NotFiniteError, Reader
from adafuse.rendering import Rendered, Renderer
from adafuse.scoring import score_spans
from adafuse.templates import Template
from adafuse.tokens import TokenCodec
from adafuse.vocabulary import check_prompt, check_tokenizer

__all__ = ["LocalMember"]

_NO_WINDOW = 2**31  # models without a limit of positions
_LONGEST_SPAN = 2048  # tokens: bytes that never make a character must end somewhere


class LocalMember:
    """A causal language model of transformers with its tokenizer.

    Args:
        model: on its device, put into evaluation mode; or a `Backbone` that another member shares.
        tokenizer: of the same model.
        name: shown in events, usage and errors.
        weight: of its scores in the mean.
        chat_template: in place of the tokenizer's own, or several by name ("default", "tool_use");
            "" leaves it out.
        chat_template_kwargs: passed to the template.
        prompt_cache_mb: MiB of keys and values to keep of earlier answers; members that share a
            backbone share the largest; 0: this member neither keeps nor uses any.

    Raises:
        UnsupportedModelError, UnsupportedTokenizerError: see `adafuse.errors`.
        ConfigError: the template or its arguments cannot be used.
    """

    def __init__(
        self,
        model: PreTrainedModel | Backbone,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        weight: float = 1.0,
        chat_template: Template | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        prompt_cache_mb: int = 256,
    ) -> None:
        self.name = name
        self.weight = weight
        self.backbone = model if isinstance(model, Backbone) else prepare(model, name)
        self.remembers = prompt_cache_mb > 0
        prompts = self.backbone.prompts
        prompts.budget = max(prompts.budget, prompt_cache_mb * 2**20)
        self.tokenizer = tokenizer
        self.codec = TokenCodec(tokenizer, name)
        rows = self.backbone.vocabulary
        check_tokenizer(tokenizer, self.codec, rows, name)
        ends = self.codec.end_ids(self.backbone.generation_eos)
        self.end_ids = frozenset(id_ for id_ in ends if id_ < rows)  # others are never drafted
        self._renderer = Renderer(tokenizer, self.codec, name, chat_template, chat_template_kwargs)

    def open(self, prompt: Prompt, config: DecodingConfig) -> LocalSession:
        """Render and tokenise the prompt; no forward yet.

        Raises:
            PromptError: the template refuses the messages, or uses a token that the model lacks.
            ContextWindowError: the prompt leaves no room in the window.
            UnsupportedTokenizerError: the answer is constrained and the tokenizer cannot write
                every text.
        """
        rendered = self.render(prompt)
        window = self.backbone.window_of(len(rendered.ids))
        if window is not None and len(rendered.ids) >= window:
            raise ContextWindowError(self.name, window, len(rendered.ids))
        masks = None
        if prompt.constraint is not None:
            masks = TokenMasks(self._table, self.codec, prompt.constraint, sorted(self.end_ids))
        return LocalSession(self, rendered, config, masks)

    @functools.cached_property
    def _table(self) -> TokenTable:
        """For grammars; made when the first one is asked for."""
        return token_table(self.codec)

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt as this member reads it; errors as for `open`, but for the window."""
        rendered = self._renderer.render(prompt)
        check_prompt(rendered.ids, self.codec, self.backbone.vocabulary, self.name)
        return rendered

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special tokens."""
        return len(self.codec.encode_start(text, special_tokens=False))

    def count_prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt has as this member reads it, tools included; errors as there."""
        return len(self.render(prompt).ids)


class LocalSession:
    """One answer of a local member; made by `LocalMember.open`."""

    def __init__(
        self,
        member: LocalMember,
        rendered: Rendered,
        config: DecodingConfig,
        masks: TokenMasks | None,
    ) -> None:
        self._member = member
        self._codec = member.codec
        self._rendered = rendered
        self._masks = masks
        ends = sorted(member.end_ids)
        self._config = config
        self._guesses: Guesses | None = None
        self._window = member.backbone.window_of(len(rendered.ids))
        if config.speculation:
            self._guesses = Guesses(
                rendered.ids,
                member.end_ids,
                member.codec.starts_with_whitespace,
                config,
                member.backbone.spare_width,
                free=lambda: masks is None or masks.free,
                room=(self._window or _NO_WINDOW) - len(rendered.ids),
            )
        self._reader = Reader(member.backbone, rendered.ids, ends, config, masks, self._guesses)
        reader = self._reader
        self._drafter = Drafter(member.codec, member.end_ids, config, reader.read, reader.certain)
        self._drafted: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._first: Node | None = None  # the end of this round's most probable draft
        self._forwards_to_draft = 0
        self._stripped = False  # whether this round's texts leave out a leading blank
        self._blank = ""  # what this member's own most probable first draft began with (chat)
        self._losses: list[Loss] = list(rendered.losses)
        self._replaced = 0
        self._reused = 0
        self._prompts = member.backbone.prompts
        self._remembers = member.remembers and config.speculation
        self._closed = False
        self._left_out = 0
        self._seconds = {"prefill": 0.0, "draft": 0.0, "score": 0.0, "commit": 0.0}
        self.templated = rendered.templated
        self.extra_stops = rendered.stops

    @property
    def room(self) -> int:
        """How many more tokens the context window can hold."""
        window = self._window or _NO_WINDOW
        return window - len(self._rendered.ids) - len(self._reader.committed)

    @property
    def usage(self) -> MemberUsage:
        """What this session has cost so far."""
        return MemberUsage(
            prompt_tokens=len(self._rendered.ids),
            committed_tokens=len(self._reader.committed),
            forward_passes=self._reader.tree.forward_passes,
            tokens_processed=self._reader.tree.tokens_processed,
            seconds=dict(self._seconds),
            token_ids=tuple(self._reader.committed),
            losses=tuple(self._losses),
            replaced_characters=self._replaced,
            rounds_left_out=self._left_out,
            forward_seconds=self._reader.tree.forward_seconds,
            reused_tokens=self._reused,
        )

    @property
    def price(self) -> float:
        """The parameters of its model."""
        return self._member.backbone.parameters

    @property
    def place(self) -> str:
        """The device of its model."""
        return self._member.backbone.place

    def likely(self) -> list[str]:
        """See `adafuse.member.Speculative`."""
        known = self._reader.tree.root.next
        if known is None or self._guesses is None:
            return []
        texts = [self._codec.text([t]) for t in known.top[: self._config.branches] if t >= 0]
        return [text for text in texts if text]

    def hint(self, texts: Sequence[str]) -> None:
        """See `adafuse.member.Speculative`."""
        if self._guesses is not None:
            room = self.room
            self._guesses.hint(self._codec.encode(self._blank + text)[:room] for text in texts)

    def look_ahead(self, tokens: int) -> str:
        """See `adafuse.member.Speculative`."""
        if self._first is None or not self._forwards_to_draft:
            return ""
        with self._timed("draft"), suppress(NotFiniteError):
            room = min(self.room, self._first.depth + tokens)
            self._first = self._drafter.go_on(self._first, room)
        text = self._codec.text(node.token for node in self._first.path())
        return text.lstrip(" ") if self._stripped else text

    def prefill(self) -> None:
        """Read the prompt: one forward."""
        prompt, tree = self._rendered.ids, self._reader.tree
        with self._timed("prefill"), suppress(NotFiniteError):  # drafting will meet it again
            if self._remembers and (found := self._prompts.find(prompt, self._window)):
                tree.resume(*found)
                self._reused = found[1]
            self._reader.read_prefix()

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose candidates; see `adafuse.member.Session`."""
        with self._timed("draft"):
            self._drafted = {}
            self._blank = ""
            self._stripped = strip_blank
            self._first = None
            begun = self._reader.tree.forward_passes
            try:
                root = self._reader.read_prefix()
                room = min(self.room, _LONGEST_SPAN)
                proposals, margins, confident = self._drafter.draft(root, room)
            except NotFiniteError:
                self._left_out += 1
                return Drafts((), (), confident=False, finite=False)
            self._forwards_to_draft = self._reader.tree.forward_passes - begun
            self._first = proposals[0].node if proposals and not proposals[0].ends else None
            drafts = []
            if strip_blank and proposals and proposals[0].text.startswith(" "):
                self._blank = " "
            for proposal in proposals:
                words = _strip(proposal.words) if strip_blank else proposal.words
                draft = Draft(words, proposal.ends)
                ids = tuple(node.token for node in proposal.node.path())
                self._drafted.setdefault((draft.text, draft.ends), ids)
                drafts.append(draft)
            return Drafts(tuple(drafts), tuple(margins), confident)

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        """Score candidates, all new tokens in one forward; see `adafuse.member.Session`."""
        with self._timed("score"):
            room = self.room
            spans = []
            for text, ends in candidates:
                ids = self._ids(text, ends)
                # One that does not fit in the window is scored on what fits, and does not end.
                spans.append((self._reader.grow(ids[:room]), ends and len(ids) <= room))
            scores = score_spans(self._reader, spans)
            if any(score is not None and math.isnan(score) for score in scores):
                self._left_out += 1
            return scores

    def count(self, text: str, ends: bool) -> int:
        """How many tokens it takes to commit this; see `adafuse.member.Session`."""
        return len(self._ids(text, ends))

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        """Cut a candidate to what fits in `limit` tokens; see `adafuse.member.Session`."""
        ids = self._ids(text, ends)
        if len(ids) > limit and self._masks is not None and not self._masks.free:
            # What closes the answer may have been drafted too, in more tokens than it needs.
            encoded = tuple(self._codec.encode(text))
            if len(encoded) <= limit:
                self._drafted[text, ends] = ids = encoded
        if len(ids) <= limit:
            return text, False
        kept = self._codec.whole_prefix(ids[: max(limit, 0)])
        cut = self._codec.text(kept)
        if self._stripped:
            cut = cut.lstrip(" ")
        if text.startswith(cut):
            self._drafted[cut, False] = tuple(kept)
            return cut, True
        # A lossy member reads something else: the longest beginning whose rendering fits.
        lengths = range(len(text) - 1, -1, -1)
        fitting = (n for n in lengths if len(self._ids(text[:n], False)) <= limit)
        return text[: next(fitting)], True

    def commit(self, text: str, ends: bool) -> None:
        """Append the ids of `text`; keys and values of those already read are kept."""
        with self._timed("commit"):
            ids = self._ids(text, ends)
            self._reader.commit(ids)
            if self._masks is not None:
                self._masks.feed(text)
            self._replaced += self._codec.replaced(ids)
            reads = self._codec.text(ids)
            if (reads.lstrip(" ") if self._stripped else reads) != text:
                self._losses.append(Loss(text, reads))
            self._drafted, self._blank, self._stripped = {}, "", False  # of this round alone

    def close(self) -> None:
        """Let go of the cache: prompts that begin like this one may go on from it."""
        tree = self._reader.tree
        cache = tree.close()
        length = min(tree.length, cache.get_seq_length())  # a forward that failed read nothing
        if self._remembers and not self._left_out and not self._closed:
            held = [*self._rendered.ids, *self._reader.committed][:length]
            self._prompts.keep(held, self._window, cache)
        self._closed = True
        self._member.backbone.forwards.left()

    def _ids(self, text: str, ends: bool) -> tuple[int, ...]:
        """The ids this member drafted for a candidate, else the encoding of its text."""
        drafted = self._drafted.get((text, ends))
        if drafted is not None:
            return drafted
        return tuple(self._codec.encode(self._blank + text)) if text else ()

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] += time.perf_counter() - start


def _strip(words: Sequence[str]) -> tuple[str, ...]:
    """Words without leading U+0020; none of them empty."""
    words = list(words)
    while words and not (first := words[0].lstrip(" ")):
        words.pop(0)
    return (first, *words[1:]) if words else ()
