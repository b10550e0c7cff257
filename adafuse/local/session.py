"""One answer of a member in this process: its prompt, its token tree, and what it has cost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

from adafuse.config import DecodingConfig
from adafuse.constraints.token_mask import TokenMasks
from adafuse.decoding.member import Draft, Drafts, PromptNLL
from adafuse.events import Loss, MemberUsage
from adafuse.local.answer_prefix import AnswerPrefix
from adafuse.local.context_window import AnswerWindow
from adafuse.local.drafting import Drafter, Proposal
from adafuse.local.prompt_nll import prompt_nll
from adafuse.local.runner import Runner
from adafuse.local.scoring import Span, mean_nlls, word_nlls
from adafuse.local.sequence import NotFiniteError, TokenSequence
from adafuse.local.speculation import Speculator
from adafuse.local.stop_drafts import StopDrafts
from adafuse.local.token_tree import Node
from adafuse.prompting.renderer import Rendered
from adafuse.text.tokenizer import TokenCodec
from adafuse.text.words import Word

__all__ = ["LocalSession"]

_LONGEST_SPAN = 2048  # tokens: bytes that never make a character must end somewhere


class LocalSession:
    """One answer of a local member; made by `LocalMember.open`.

    A commit goes from here down: `TokenSequence.commit` notes the ids, `TokenTree.commit` keeps the
    nodes of the tree on that path, `Cache.keep` their keys and values. `texts` is what the
    prompt's messages say. A session that `remembers` keeps its cache for later prompts and uses
    those of earlier ones.
    """

    def __init__(
        self,
        runner: Runner,
        codec: TokenCodec,
        end_ids: frozenset[int],
        rendered: Rendered,
        window: AnswerWindow,
        config: DecodingConfig,
        masks: TokenMasks | None,
        borders: torch.Tensor | None = None,
        texts: Sequence[str] = (),
        *,
        remembers: bool,
    ) -> None:
        self._runner, self._codec, self._window = runner, codec, window
        self._rendered, self._texts = rendered, texts
        self._config, self._masks = config, masks
        self._rated = config.prompt_exponent > 0
        self._logprobs: list[float] = []  # of the prompt's tokens but the first, if it is rated
        self._speculator: Speculator | None = None
        if config.speculation:
            self._speculator = Speculator(
                rendered.ids,
                end_ids,
                codec.starts_with_whitespace,
                config,
                runner.spare_width,
                runner.spare_curve,
                free=lambda: masks is None or masks.free,
                room=window.room(0),
            )
        self._sequence = sequence = TokenSequence(
            runner, rendered.ids, sorted(end_ids), config, masks, self._speculator, self._rated,
            borders,
        )  # fmt: skip
        self._prefix = AnswerPrefix()
        strings = (*config.stop, *rendered.stops) if config.pool_stops else ()
        self._stops = StopDrafts(strings, self._prefix, sequence.may_be_bound)
        self._drafter = Drafter(
            codec, end_ids, config, sequence.read, sequence.certain, self._stops.begins
        )
        self._drafted: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._first: Node | None = None  # the end of this round's most probable draft
        self._forwards_to_draft = 0
        self._losses: list[Loss] = list(rendered.losses)
        self._replaced = self._reused = self._left_out = 0
        self._remembers = remembers and config.speculation
        self._closed = False
        self._seconds = {"prefill": 0.0, "draft": 0.0, "score": 0.0, "commit": 0.0}
        self.templated = rendered.templated
        self.extra_stops = rendered.stops

    @property
    def room(self) -> int:
        return self._room()

    @property
    def usage(self) -> MemberUsage:
        return MemberUsage(
            prompt_tokens=len(self._rendered.ids),
            committed_tokens=len(self._sequence.committed),
            forward_passes=self._sequence.tree.forward_passes,
            tokens_processed=self._sequence.tree.tokens_processed,
            seconds=dict(self._seconds),
            token_ids=tuple(self._sequence.committed),
            losses=tuple(self._losses),
            replaced_characters=self._replaced,
            rounds_left_out=self._left_out,
            forward_seconds=self._sequence.tree.forward_seconds,
            reused_tokens=self._reused,
        )

    @property
    def price(self) -> float:
        return self._runner.parameters

    @property
    def place(self) -> str:
        return self._runner.place

    def likely(self) -> list[str]:
        stats = self._sequence.tree.root.next
        if stats is None or self._speculator is None:
            return []
        texts = [self._codec.text([t]) for t in stats.top[: self._config.branch_count] if t >= 0]
        return [text for text in texts if text]

    def hint(self, texts: Sequence[str]) -> None:
        if self._speculator is not None:
            room = self._room()
            ids = (self._codec.encode(self._prefix.add(text)) for text in texts)
            self._speculator.hint(encoded[:room] for encoded in ids)

    def look_ahead(self, tokens: int) -> str:
        if self._first is None or not self._forwards_to_draft:
            return ""
        with self._timed("draft"), suppress(NotFiniteError):
            room = min(self._room(), self._first.depth + tokens)
            self._first = self._drafter.go_on(self._first, room)
        return self._prefix.strip(self._codec.text(node.token for node in self._first.path()))

    def prefill(self) -> None:
        """Read the prompt: one forward, or one for each part of it if it is rated."""
        prompt, tree = self._rendered.ids, self._sequence.tree
        with self._timed("prefill"), suppress(NotFiniteError):  # drafting will meet it again
            if self._rated:
                self._logprobs = self._sequence.rate_prompt()
            elif self._remembers and (kept := self._runner.prompts.find(prompt, self._window.size)):
                tree.resume(*kept)
                self._reused = kept[1]
            self._sequence.read_prefix()

    def prompt_nll(self) -> PromptNLL:
        pieces = list(map(self._codec.token_bytes, self._rendered.ids))
        return prompt_nll(pieces, self._logprobs, self._texts)

    def draft(self, *, strip_blank: bool) -> Drafts:
        with self._timed("draft"):
            self._drafted = {}
            self._stops.begin()
            self._prefix.begin(strip_blank)
            self._first = None
            begun = self._sequence.tree.forward_passes
            try:
                root = self._sequence.read_prefix()
                room = min(self._room(), _LONGEST_SPAN)
                proposals, margins, confident = self._drafter.draft(root, room)
            except NotFiniteError:
                self._left_out += 1
                return Drafts((), (), confident=False, finite=False)
            self._forwards_to_draft = self._sequence.tree.forward_passes - begun
            self._first = proposals[0].node if proposals and not proposals[0].ends else None
            drafts = []
            if proposals:
                self._prefix.learn(proposals[0].text)
            for proposal in proposals:
                words = self._prefix.strip_words(proposal.words)
                draft = Draft(words, proposal.ends, proposal.stop)
                self._note(draft, proposal)
                drafts.append(draft)
            return Drafts(tuple(drafts), tuple(margins), confident)

    def _note(self, draft: Draft, proposal: Proposal) -> None:
        """Remember what was drafted for a text."""
        ids = tuple(node.token for node in proposal.node.path())
        if draft.stop is not None:
            self._stops.note(draft.text, proposal.node)
            starts = (ids[:length] for length in range(len(ids) + 1))
            before = (i for i in starts if self._prefix.strip(self._codec.text(i)) == draft.text)
            if (kept := next(before, None)) is None:
                return  # a token holds both: the text before the stop is encoded
            ids = kept
        self._drafted.setdefault((draft.text, draft.ends), ids)

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        with self._timed("score"):
            spans = [self._span(text, ends) for text, ends in candidates]
            if self._config.rule == "words":
                scores = word_nlls(self._sequence, spans, self._codec.starts_with_whitespace)
            else:
                scores = mean_nlls(self._sequence, spans)
            if any(score is not None and math.isnan(score) for score in scores):
                self._left_out += 1
            return scores

    def _span(self, text: str, ends: bool) -> Span:
        ids, room = self._ids(text, ends), self._room()
        if len(ids) > room:  # it is scored on what fits in the window, and does not end
            return Span(self._sequence.tree.line(ids[:room]), whole=True)
        nodes = self._sequence.tree.line(ids)
        if ends:
            return Span(nodes, ends=True, stops=self._stops.drafted(text))
        word = Word.of(map(self._codec.token_bytes, ids))
        # Under a grammar what may follow is not for the model to say.
        bound = self._masks is not None and bool(nodes) and self._sequence.bound(nodes[-1])
        return Span(nodes, whole=bound or word.complete(self._config.max_word_tokens))

    def count(self, text: str, ends: bool) -> int:
        return len(self._ids(text, ends))

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        ids = self._ids(text, ends)
        if len(ids) > limit and self._masks is not None and not self._masks.free:
            # What closes the answer may have been drafted too, in more tokens than it needs.
            encoded = tuple(self._codec.encode(text))
            if len(encoded) <= limit:
                self._drafted[text, ends] = ids = encoded
        if len(ids) <= limit:
            return text, False
        kept = self._codec.whole_prefix(ids[: max(limit, 0)])
        cut = self._prefix.strip(self._codec.text(kept))
        if text.startswith(cut):
            self._drafted[cut, False] = tuple(kept)
            return cut, True
        # A lossy member reads something else: the longest beginning whose rendering fits.
        lengths = range(len(text) - 1, -1, -1)
        fitting = (n for n in lengths if len(self._ids(text[:n], False)) <= limit)
        return text[: next(fitting)], True

    def commit(self, text: str, ends: bool) -> int:
        """Append the ids of `text`; keys and values of those already read are kept."""
        with self._timed("commit"):
            ids = self._ids(text, ends)
            self.restore([(text, ids)])
            self._replaced += self._codec.replaced(ids)
            if loss := self._codec.loss_of(text, ids, blanks_before=self._prefix.stripped):
                self._losses.append(loss)
            self._drafted = {}  # of this round alone, as the prefix and the stops
            self._prefix.begin(False)
        return self._room()

    def restore(self, spans: Iterable[tuple[str, Sequence[int]]]) -> None:
        """Append what this answer has committed in another session: each text, and its ids there.

        After `prefill`; the next forward reads them. What the other session counted it has told.
        """
        for text, ids in spans:
            self._sequence.commit(ids)
            self._stops.commit(text)
            if self._masks is not None:
                self._masks.feed(text)

    def close(self) -> None:
        """Let go of the cache: prompts that begin like this one may go on from it."""
        tree = self._sequence.tree
        cache = tree.close()
        length = min(tree.length, cache.get_seq_length())  # a forward that failed read nothing
        if self._remembers and not self._left_out and not self._closed:
            held = [*self._rendered.ids, *self._sequence.committed][:length]
            self._runner.prompts.keep(held, self._window.size, cache)
        self._closed = True
        self._runner.scheduler.left()

    def _ids(self, text: str, ends: bool) -> tuple[int, ...]:
        """The ids this member drafted for a candidate, else the encoding of its text."""
        if (drafted := self._drafted.get((text, ends))) is not None:
            return drafted
        return tuple(self._codec.encode(self._prefix.add(text))) if text else ()

    def _room(self) -> int:
        return self._window.room(len(self._sequence.committed))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] += time.perf_counter() - start
