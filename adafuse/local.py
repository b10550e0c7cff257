"""A member in this process: a transformers model, its tokenizer, and one cache per answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adafuse.backbone import Backbone
from adafuse.cache import Node, TokenTree
from adafuse.config import DecodingConfig
from adafuse.distributions import Outlook, Penalty, outlooks
from adafuse.drafting import Drafter
from adafuse.errors import ContextWindowError
from adafuse.events import Loss, MemberUsage
from adafuse.member import Draft, Drafts
from adafuse.probe import prepare
from adafuse.prompts import Prompt
from adafuse.rendering import Rendered, Renderer
from adafuse.tokens import TokenCodec

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
        chat_template: in place of the tokenizer's own; "" leaves it out.
        chat_template_kwargs: passed to the template.

    Raises:
        UnsupportedModelError, UnsupportedTokenizerError: see `adafuse.errors`.
    """

    def __init__(
        self,
        model: PreTrainedModel | Backbone,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        weight: float = 1.0,
        chat_template: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.weight = weight
        self.backbone = model if isinstance(model, Backbone) else prepare(model, name)
        self.tokenizer = tokenizer
        self.codec = TokenCodec(tokenizer, name)
        self.end_ids = self.codec.end_ids(self.backbone.generation_eos)
        self._renderer = Renderer(tokenizer, self.codec, name, chat_template, chat_template_kwargs)

    def open(self, prompt: Prompt, config: DecodingConfig) -> LocalSession:
        """Render and tokenise the prompt; no forward yet.

        Raises:
            PromptError: the template refuses the messages.
            ContextWindowError: the prompt leaves no room in the window.
        """
        rendered = self.render(prompt)
        window = self.backbone.window
        if window is not None and len(rendered.ids) >= window:
            raise ContextWindowError(self.name, window, len(rendered.ids))
        return LocalSession(self, rendered, config)

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt as this member reads it; errors as for `open`, but for the window."""
        return self._renderer.render(prompt)

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special tokens."""
        return len(self.codec.encode_start(text, special_tokens=False))


class LocalSession:
    """One answer of a local member; made by `LocalMember.open`."""

    def __init__(self, member: LocalMember, rendered: Rendered, config: DecodingConfig) -> None:
        self._member = member
        self._codec = member.codec
        self._rendered = rendered
        self._config = config
        self._end_ids = sorted(member.end_ids)
        self._tree = TokenTree(member.backbone)
        self._tree.append(rendered.ids)
        self._drafter = Drafter(member.codec, member.end_ids, config, self._read)
        self._drafted: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._stripped = False  # whether this round's texts leave out a leading blank
        self._blank = ""  # what this member's own most probable first draft began with (chat)
        self._committed: list[int] = []
        self._losses: list[Loss] = list(rendered.losses)
        self._replaced = 0
        self._left_out = 0
        self._seconds = {"prefill": 0.0, "draft": 0.0, "score": 0.0, "commit": 0.0}
        self.templated = rendered.templated
        self.extra_stops = rendered.stops

    @property
    def room(self) -> int:
        """How many more tokens the context window can hold."""
        window = self._member.backbone.window or _NO_WINDOW
        return window - len(self._rendered.ids) - len(self._committed)

    @property
    def usage(self) -> MemberUsage:
        """What this session has cost so far."""
        return MemberUsage(
            prompt_tokens=len(self._rendered.ids),
            committed_tokens=len(self._committed),
            forward_passes=self._tree.forward_passes,
            tokens_processed=self._tree.tokens_processed,
            seconds=dict(self._seconds),
            token_ids=tuple(self._committed),
            losses=tuple(self._losses),
            replaced_characters=self._replaced,
            rounds_left_out=self._left_out,
        )

    def prefill(self) -> None:
        """Read the prompt: one forward."""
        with self._timed("prefill"), suppress(_NotFiniteError):  # drafting will meet it again
            self._read_root()

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose candidates; see `adafuse.member.Session`."""
        with self._timed("draft"):
            self._drafted = {}
            self._blank = ""
            self._stripped = strip_blank
            try:
                self._read_root()
                proposals, margins, confident = self._drafter.draft(
                    self._tree.root, min(self.room, _LONGEST_SPAN)
                )
            except _NotFiniteError:
                self._left_out += 1
                return Drafts((), (), confident=False, finite=False)
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
            ids = [self._ids(*one) for one in candidates]
            # A candidate that does not fit is scored on what fits, and does not end.
            spans = [
                (self._grow(own[:room]), ends and len(own) <= room)
                for own, (_, ends) in zip(ids, candidates, strict=True)
            ]
            unread: dict[Node, None] = {}
            unknown: dict[Node, None] = {}
            for last, ends in spans:
                path = last.path()
                unknown.update((node, None) for node in path if _logprob(node) is None)
                # The last token need not be read to score it: only if it wins, by the next draft.
                needed = path if ends else path[:-1]
                unread.update((node, None) for node in needed if node.row is None)
            if unknown and not unread:
                unread = unknown  # no transfer without a forward, and one of them may win
            if unread:
                self._tree.read(list(unread))
                self._learn_next(list(unread), list(unknown))
            scores = [_mean_nll(last, ends) for last, ends in spans]
            if any(score is not None and math.isnan(score) for score in scores):
                self._left_out += 1
            return scores

    def fit(self, text: str, ends: bool, limit: int) -> str:
        """Cut `text` to what fits in `limit` tokens; see `adafuse.member.Session`."""
        ids = self._ids(text, ends)
        if len(ids) <= limit:
            return text
        kept = self._codec.whole_prefix(ids[: max(limit, 0)])
        cut = self._codec.text(kept)
        if not text.startswith(cut):
            cut = cut.lstrip(" ")  # the blank that chat answers leave out
        if text.startswith(cut):
            self._drafted[cut, False] = tuple(kept)
            return cut
        # A lossy member reads something else: the longest beginning whose rendering fits.
        return next(
            text[:length]
            for length in range(len(text) - 1, -1, -1)
            if len(self._ids(text[:length], False)) <= limit
        )

    def commit(self, text: str, ends: bool) -> None:
        """Append the ids of `text`; keys and values of those already read are kept."""
        with self._timed("commit"):
            ids = self._ids(text, ends)
            self._tree.commit(ids)
            self._committed.extend(ids)
            self._replaced += self._codec.replaced(ids)
            reads = self._codec.text(ids)
            if (reads.lstrip(" ") if self._stripped else reads) != text:
                self._losses.append(Loss(text, reads))

    def close(self) -> None:
        """Let go of the cache."""
        self._tree.close()

    def _ids(self, text: str, ends: bool) -> tuple[int, ...]:
        """The ids this member drafted for a candidate, else the encoding of its text."""
        drafted = self._drafted.get((text, ends))
        if drafted is not None:
            return drafted
        return tuple(self._codec.encode(self._blank + text)) if text else ()

    def _grow(self, ids: Sequence[int]) -> Node:
        """The tree node at the end of `ids`."""
        node = self._tree.root
        for token in ids:
            node = node.child(token)
        return node

    def _read_root(self) -> None:
        """Read what is committed but not read yet, so that the next token is known."""
        if self._tree.root.row is None:
            self._tree.read_prefix()
            self._learn_next([self._tree.root])
        if not _next(self._tree.root).finite:
            raise _NotFiniteError

    def _read(self, nodes: Sequence[Node]) -> None:
        """Read drafted nodes that are not read yet, in one forward."""
        unread = [node for node in nodes if node.row is None]
        if unread:
            self._tree.read(unread)
            self._learn_next(unread)
        if not all(_next(node).finite for node in nodes):
            raise _NotFiniteError

    def _learn_next(self, nodes: Sequence[Node], unknown: Sequence[Node] = ()) -> None:
        """Bring over what follows `nodes`, and the probabilities of `unknown` nodes."""
        penalty = None
        if self._config.repetition_penalty != 1:
            context = [*self._rendered.ids, *self._committed]
            paths = [[before.token for before in node.path()] for node in nodes]
            penalty = Penalty(self._config.repetition_penalty, context, paths)
        found, logits = outlooks(
            [_row(node) for node in nodes],
            [(_row(_parent(node)), node.token) for node in unknown],
            branches=self._config.branches,
            end_ids=self._end_ids,
            penalty=penalty,
        )
        for node, outlook in zip(nodes, found, strict=True):
            node.next = outlook
        for node, logit in zip(unknown, logits, strict=True):
            node.logprob = logit - _next(_parent(node)).log_normalizer

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] += time.perf_counter() - start


class _NotFiniteError(Exception):
    """A distribution met while drafting has NaN or infinite logits."""


def _parent(node: Node) -> Node:
    assert node.parent is not None, "the prefix's end has no parent"
    return node.parent


def _logprob(node: Node) -> float | None:
    """The node's log-probability, as far as the host can tell."""
    if node.logprob is None and (outlook := _parent(node).next) is not None:
        node.logprob = outlook.logprobs.get(node.token)
    return node.logprob


def _row(node: Node) -> Tensor:
    assert node.row is not None, "the node is not read yet"
    return node.row


def _next(node: Node) -> Outlook:
    assert node.next is not None, "the node is not read yet"
    return node.next


def _mean_nll(node: Node, ends: bool) -> float | None:
    """Mean NLL per token of the path to `node`, in nats; an end is one more token."""
    path = node.path()
    known = [logprob for step in path if (logprob := _logprob(step)) is not None]
    assert len(known) == len(path), "every token of a scored path is known"
    if ends:
        known.append(_next(node).end_logprob)
    return -sum(known) / len(known) if known else None


def _strip(words: Sequence[str]) -> tuple[str, ...]:
    """Words without leading U+0020; none of them empty."""
    words = list(words)
    while words and not (first := words[0].lstrip(" ")):
        words.pop(0)
    return (first, *words[1:]) if words else ()
