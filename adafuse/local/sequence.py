"""Reading a prefix and its drafts: forwards of the token tree, and what the host learns of them.

Knows tokens and probabilities, not texts: `drafting` and `session` say which tokens, and
`speculation` which others may be needed soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from adafuse.config import DecodingConfig
from adafuse.constraints.token_mask import END, TokenMasks
from adafuse.local.logits import NextTokenStats, Penalty, next_token_stats
from adafuse.local.runner import Runner
from adafuse.local.speculation import Speculator
from adafuse.local.token_tree import Node, TokenTree

__all__ = ["NotFiniteError", "TokenSequence", "logprob_of", "stats_of"]


_PART = 128  # tokens of a prompt that are rated at a time: each has logits of the whole vocabulary


class NotFiniteError(Exception):
    """A distribution met while drafting has NaN or infinite logits."""


class TokenSequence:
    """One prefix, its token tree, and what is known of the nodes.

    `speculator` says what else to read where a forward is needed anyway. If the prompt is `rated`,
    `rate_prompt` comes first. `borders` is for rule "words" (`borders.border_mask`). `committed`
    are the ids of the answer so far.
    """

    def __init__(
        self,
        runner: Runner,
        prompt: Sequence[int],
        end_ids: Sequence[int],
        config: DecodingConfig,
        masks: TokenMasks | None,
        speculator: Speculator | None,
        rated: bool,
        borders: torch.Tensor | None = None,
    ) -> None:
        self.tree = TokenTree(runner)
        self._speculator = speculator
        self._rating = False
        self.tree.append(prompt[:1] if rated else prompt)
        self.committed: list[int] = []
        self._prompt, self._end_ids = prompt, end_ids
        self._config, self._masks, self._borders = config, masks, borders
        self._allowed: dict[Node, torch.Tensor | None] = {}  # this round's masks

    def rate_prompt(self) -> list[float]:
        """Read the prompt but for its last token; return log-probabilities of all but the first.

        Its tokens are read like drafts that are committed, a part at a time.
        """
        logprobs: list[float] = []
        self._rating = True
        try:
            for begin in range(1, len(self._prompt), _PART):
                part = self._prompt[begin : begin + _PART]
                nodes = self.tree.line(part)
                # What follows the last token is for `read_prefix`: a grammar may shape it.
                last = begin + _PART >= len(self._prompt)
                self.read_and_learn(nodes[:-1] if last else nodes, nodes)
                logprobs += [node.logprob or 0.0 for node in nodes]
                self.tree.commit(part)
        finally:
            self._rating = False
        return logprobs

    def read_prefix(self) -> Node:
        """Read what is committed but not read yet; return the prefix's end, or NotFiniteError."""
        root = self.tree.root
        if root.row is None:
            self.read_and_learn([], [])
        if not stats_of(root).finite:
            raise NotFiniteError
        return root

    def read(self, nodes: Sequence[Node]) -> None:
        """Read those of the nodes that are not read yet, with what is before them: one forward.

        NotFiniteError where a distribution behind one of them is not finite.
        """
        lines = [before for node in nodes if node.row is None for before in node.path()]
        unread = dict.fromkeys(node for node in lines if node.row is None)
        if unread:
            self.read_and_learn(list(unread), [])
        if not all(stats_of(node).finite for node in nodes):
            raise NotFiniteError

    def read_and_learn(self, unread: Sequence[Node], unknown: Sequence[Node]) -> None:
        """Read nodes in one forward, and learn the probabilities of `unknown` ones with it.

        What is guessed to be needed soon is read with them. The parents of `unknown` nodes are
        read, before or now. NaN is passed on as it is.
        """
        guessed: list[Node] = []
        if self._speculator is not None and not self._rating:
            guessed = self._speculator.beside(self.tree.root, unread, self.tree.waiting)
        # Of guesses too: where one is to be scored later it is read, and no forward follows.
        nodes_to_read = list(dict.fromkeys([*unknown, *guessed]))

        def learn(nodes: Sequence[Node], rows: torch.Tensor) -> None:
            self._learn(nodes, rows, nodes_to_read)

        self.tree.read([*unread, *guessed], learn)

    def certain(self, node: Node) -> int | None:
        """The one token that a grammar allows after a node; it needs no reading to be known.

        `END` if it allows none but an end; None if there is a choice, or no grammar.
        """
        mask = self._mask(node)
        if mask is None or (allowed := mask.nonzero()).numel() > 1:
            return None
        return int(allowed) if allowed.numel() else END

    def bound(self, node: Node) -> bool:
        """Whether a grammar says how the answer goes on behind a node."""
        return self._masks is not None and self._masks.binds and self._mask(node) is not None

    def may_be_bound(self, node: Node) -> bool:
        """Whether a grammar holds behind a node, or may turn out to."""
        path = [before.token for before in node.path()]
        return self.bound(node) or (self._masks is not None and self._masks.pending(path))

    def _mask(self, node: Node) -> torch.Tensor | None:
        if self._masks is None:
            return None
        if node not in self._allowed:
            self._allowed[node] = self._masks.after([before.token for before in node.path()])
        return self._allowed[node]

    def commit(self, ids: Sequence[int]) -> None:
        """Make `ids` part of the prefix; what is read of them is kept."""
        self.tree.commit(ids)
        self.committed.extend(ids)
        self._allowed.clear()
        if self._speculator is not None:
            self._speculator.commit(ids)

    def _learn(self, nodes: Sequence[Node], rows: torch.Tensor, unknown: Sequence[Node]) -> None:
        """Bring over what follows `nodes` and the log-probabilities of `unknown`: one transfer."""
        penalty = None  # `rows`, (n, V), are the logits of `nodes`
        if self._config.repetition_penalty != 1 and not self._rating:
            paths = [[before.token for before in node.path()] for node in nodes]
            context = [*self._prompt, *self.committed]
            penalty = Penalty(self._config.repetition_penalty, context, paths)
        all_stats, logits = next_token_stats(
            rows,
            [(_parent_row(node), node.token) for node in unknown],
            branches=self._config.branch_count,
            end_ids=self._end_ids,
            penalty=penalty,
            masks=None if self._masks is None or self._rating else list(map(self._mask, nodes)),
            borders=self._borders,
        )
        for node, stats in zip(nodes, all_stats, strict=True):
            if not stats.top and stats.finite:  # a grammar allows no token at all
                stats = replace(stats, top=(END,), margin=1.0)
            node.next = stats
            if self._speculator is not None and not self._rating:
                self._speculator.learn(node)
        for node, logit in zip(unknown, logits, strict=True):
            node.logprob = logit - stats_of(_parent(node)).log_normalizer


def stats_of(node: Node) -> NextTokenStats:
    """What is known of the token after a node that is read."""
    assert node.next is not None, "the node is not read yet"
    return node.next


def logprob_of(node: Node) -> float | None:
    """The node's log-probability in nats, as far as the host can tell."""
    if node.logprob is None and (stats := _parent(node).next) is not None:
        node.logprob = stats.logprob(node.token)
    return node.logprob


def _parent(node: Node) -> Node:
    assert node.parent is not None, "the prefix's end has no parent"
    return node.parent


def _parent_row(node: Node) -> torch.Tensor:
    row = _parent(node).row
    assert row is not None, "the node before it is not read yet"
    return row
