"""Log-likelihoods of given tokens under one member: what benchmarks and perplexities are made of.

Ids in, numbers out. What is as wide as the vocabulary stays on the model's device, and there is
never more of it than `Runner.most_logits` rows, however long a text is. This module knows
neither texts nor how they were encoded, and imports torch only when it is asked something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from adafuse.decoding.member import Member
from adafuse.errors import ConfigError, ContextWindowError, PromptError

if TYPE_CHECKING:
    import torch

    from adafuse.local.runner import Runner
    from adafuse.local.token_tree import Node, TokenTree

__all__ = ["TokenLikelihoods", "continuation_logprobs", "continuations_logprobs"]

_LONG = 256  # tokens of context that are better read alone, with the model's own mask
_DEEP = 512  # tokens of a continuation that is better read alone: a tree notes every ancestor


@dataclass(frozen=True, slots=True)
class TokenLikelihoods:
    """What a member thinks of tokens that continue a context.

    Attributes:
        logprobs: log-probability of each token after those before it, in nats; NaN where the
            model's logits are not numbers.
        greedy: whether each token is the most probable one there.
    """

    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...]

    @property
    def total(self) -> float:
        """The log-likelihood of all tokens together, in nats."""
        return sum(self.logprobs)

    @property
    def is_greedy(self) -> bool:
        """Whether greedy decoding would write these tokens."""
        return all(self.greedy)


def continuation_logprobs(
    member: Member, context: Sequence[int], continuation: Sequence[int]
) -> TokenLikelihoods:
    """Log-probabilities of the tokens of one continuation; see `continuations_logprobs`."""
    return continuations_logprobs(member, context, [continuation])[0]


def continuations_logprobs(
    member: Member, context: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[TokenLikelihoods]:
    """Log-probabilities of the tokens of several continuations of one context.

    The context is read once for all of them, and not at all as far as the member's prompt cache
    holds it. Tokens that continuations have in common are one. The last token of a continuation
    is not read.

    Args:
        member: one with a model in this process, such as `adafuse.local.LocalMember`.
        context: ids, special ones included; at least one.
        continuations: ids of each.

    Raises:
        ConfigError: the member has no model here.
        PromptError: the context is empty, or an id is none of the model's.
        ContextWindowError: a continuation does not fit behind the context.
    """
    runner: Runner | None = getattr(member, "runner", None)
    if runner is None:
        raise ConfigError(
            f"member {member.name!r} is a {type(member).__name__}: it has no model in this "
            "process, so log-likelihoods of given tokens cannot be read from it"
        )
    _check(member, runner, context, continuations)
    window = runner.window_of(len(context))
    alone = [
        len(tokens) > _DEEP or runner.window_of(len(context) + len(tokens) - 1) != window
        for tokens in continuations
    ]
    together = [tokens for tokens, apart in zip(continuations, alone, strict=True) if not apart]
    if len(together) == 1:
        alone, together = [True] * len(alone), []
    shared = iter(_together(member, runner, context, together) if together else [])
    return [
        _alone(member, runner, context, tokens) if apart else next(shared)
        for tokens, apart in zip(continuations, alone, strict=True)
    ]


def _check(
    member: Member,
    runner: Runner,
    context: Sequence[int],
    continuations: Sequence[Sequence[int]],
) -> None:
    if not context:
        raise PromptError(
            f"member {member.name!r}: log-likelihoods need a context of at least one token, such "
            "as the one that begins a text"
        )
    for wrong in (
        id_ for id_ in chain(context, *continuations) if not 0 <= id_ < runner.vocabulary
    ):
        raise PromptError(
            f"member {member.name!r}: {wrong} is no id of its model, which has {runner.vocabulary}"
        )
    read = len(context) + max(map(len, continuations), default=1) - 1
    window = runner.window_of(read)
    if window is not None and read > window:
        raise ContextWindowError(member.name, window, read)


def _alone(
    member: Member, runner: Runner, context: Sequence[int], tokens: Sequence[int]
) -> TokenLikelihoods:
    """One continuation, some hundred tokens at a time.

    Where rotary factors change at some length, all of it is one forward, as in a plain reading.
    """
    if not tokens:
        return TokenLikelihoods((), ())
    whole = runner.window_of(len(context) + len(tokens) - 1) != runner.window_of(len(context))
    step = len(tokens) if whole else runner.most_logits
    reading = _Reading(member, runner, context, fresh=whole)
    likelihoods: list[tuple[float, bool]] = []
    try:
        for start in range(0, max(len(tokens) - 1, 1), step):
            line = reading.tree.line(tokens[start : start + step + 1])
            if not whole:
                reading.read_long_context()
            reading.read(line[:-1])
            likelihoods += [reading.known.pop(node) for node in line if node in reading.known]
            if start + step + 1 < len(tokens):
                reading.advance(tokens[start : start + step])
    finally:
        reading.close()
    return _likelihoods(likelihoods)


def _together(
    member: Member,
    runner: Runner,
    context: Sequence[int],
    continuations: Sequence[Sequence[int]],
) -> list[TokenLikelihoods]:
    """Several short continuations, as branches of one tree."""
    step = runner.most_logits
    reading = _Reading(member, runner, context)
    try:
        lines = [reading.tree.line(tokens) for tokens in continuations]
        inner = [node for node in dict.fromkeys(chain(*lines)) if node.children]
        reading.read_long_context()
        for start in range(0, max(len(inner), 1), step):
            reading.read(inner[start : start + step], forget=True)
    finally:
        reading.close()
    return [_likelihoods([reading.known[node] for node in line]) for line in lines]


def _likelihoods(likelihoods: Sequence[tuple[float, bool]]) -> TokenLikelihoods:
    logprobs = tuple(logprob for logprob, _ in likelihoods)
    return TokenLikelihoods(logprobs, tuple(greedy for _, greedy in likelihoods))


class _Reading:
    """A context and a tree behind it."""

    def __init__(
        self, member: Member, runner: Runner, context: Sequence[int], *, fresh: bool = False
    ) -> None:
        from adafuse.local.token_tree import TokenTree  # torch is imported when a model is loaded

        self.tree: TokenTree = TokenTree(runner)
        # Log-probability of a node after its parent, and whether it is the most probable.
        self.known: dict[Node, tuple[float, bool]] = {}
        self._runner = runner
        self._held = list(context)
        self._window = runner.window_of(len(context))
        self._finite = True
        self._remembers = bool(getattr(member, "remembers", False)) and not fresh
        self.tree.append(context)
        if self._remembers and (kept := runner.prompts.find(context, self._window)):
            self.tree.resume(*kept)

    def read_long_context(self) -> None:
        """Read the context by itself, if it is long: a mask of its own for it would be large."""
        if self.tree.waiting > _LONG:
            self.read([])

    def read(self, nodes: Sequence[Node], *, forget: bool = False) -> None:
        """Read nodes, and what is left of the context; learn what is known of their children.

        With `forget` their logits are let go; they cannot be committed then.
        """

        def learn(new: list[Node], rows: torch.Tensor) -> None:
            self._learn(new, rows)
            for node in new if forget else ():
                node.row = None

        if nodes or self.tree.waiting:
            self.tree.read(nodes, learn)

    def _learn(self, new: Sequence[Node], rows: torch.Tensor) -> None:
        pairs = [(at, child) for at, node in enumerate(new) for child in node.children.values()]
        if not pairs:
            return
        rows = rows.float()  # (n, V)
        places, tokens = [at for at, _ in pairs], [child.token for _, child in pairs]
        logprobs = (rows[places, tokens] - rows.logsumexp(-1)[places]).tolist()
        best = rows.argmax(-1)[places].tolist()
        for (_, child), logprob, greedy in zip(pairs, logprobs, best, strict=True):
            self.known[child] = logprob, greedy == child.token
            self._finite = self._finite and not math.isnan(logprob)

    def advance(self, tokens: Sequence[int]) -> None:
        """Make tokens that were read part of the context."""
        self.tree.commit(tokens)
        self._held += tokens

    def close(self) -> None:
        """Let go of the cache: contexts that begin like this one may go on from it."""
        read = self.tree.length
        cache = self.tree.close()
        self._runner.scheduler.left()
        if self._remembers and read and self._finite:
            self._runner.prompts.keep(self._held[:read], self._window, cache)
