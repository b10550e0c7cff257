"""A tree of drafted tokens over one key-value cache: the only module that touches them.

The cache holds the prompt and the committed tokens, then the tree nodes in the order in which
they were read:

    slot    0 … length-1 | length …
    holds   prefix       | nodes of this round

A node sees the prefix, its ancestors and itself, and its position is its depth. So all branches go
through the model together, and on commit the winner's keys and values are kept, and
those of nodes that were read below it, where the others' are dropped. This module knows ids and
tensors, not texts, words or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from adafuse.local.logits import NextTokenStats
from adafuse.local.request import Cache, Request
from adafuse.local.runner import Runner

__all__ = ["Node", "TokenTree"]


@dataclass(eq=False, slots=True)
class Node:
    """A token after the prefix, or the prefix's end (`parent` is None, `token` -1)."""

    token: int
    parent: Node | None
    depth: int  # tokens between the prefix and it, itself included
    slots: tuple[int, ...] = ()  # of its ancestors and itself in the cache, once it is read
    children: dict[int, Node] = field(default_factory=dict)  # nodes after it, by token
    row: torch.Tensor | None = None  # logits of the next token, (V,), on the device, once read
    logprob: float | None = None  # of the token after its parent, in nats, once known
    next: NextTokenStats | None = None  # what the host knows of the next token, once read

    def child(self, token: int) -> Node:
        """The node of `token` after this one, made if it is new."""
        if token not in self.children:
            self.children[token] = Node(token, self, self.depth + 1)
        return self.children[token]

    def path(self) -> list[Node]:
        """Nodes from the first after the prefix to this one."""
        nodes: list[Node] = []
        node: Node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def below(self) -> Iterator[Node]:
        """Nodes that are read below this one, each after its parent."""
        waiting = [self]
        while waiting:
            children = [child for child in waiting.pop().children.values() if child.row is not None]
            yield from children
            waiting += children


class TokenTree:
    """One sequence in a model's cache, with a tree of drafts at its end."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._cache = runner.new_cache()
        self._used = 0  # slots in the cache
        self._unread: list[int] = []  # prefix tokens that are not in the cache yet
        self.root = Node(-1, None, 0)  # the end of the prefix; read once its last token is
        self.length = 0  # tokens of the prefix in the cache
        self.forward_passes = 0
        self.tokens_processed = 0
        self.forward_seconds = 0.0  # wall time, waiting for a turn on the device not counted

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens to the prefix; the next forward reads them."""
        self._unread.extend(tokens)
        self.root = Node(-1, None, 0)

    def line(self, tokens: Sequence[int]) -> list[Node]:
        """The nodes of `tokens` after the prefix, one after another, made where they are new."""
        node = self.root
        return [node := node.child(token) for token in tokens]

    @property
    def waiting(self) -> int:
        """How many tokens of the prefix are not read yet."""
        return len(self._unread)

    def resume(self, cache: Cache, length: int) -> None:
        """Begin with a cache that holds the first `length` of the tokens appended so far."""
        assert self._used == 0
        self._cache = cache
        self._unread = self._unread[length:]
        self.length = self._used = length

    def read(
        self,
        nodes: Sequence[Node],
        learn: Callable[[list[Node], torch.Tensor], None] = lambda nodes, rows: None,
    ) -> None:
        """Run nodes through the model, each after its parent, in one forward. Sets their `row`.

        Prefix tokens that are not read yet go with them, and the root if it was not read. `learn`
        is told which nodes are new and their rows, shape (n, V), in the forward's thread.
        """
        new = [*([self.root] if self._unread else []), *nodes]

        def then(rows: torch.Tensor) -> None:
            for node, row in zip(new, rows, strict=True):
                node.row = row
            learn(new, rows)

        request = self.request(nodes)
        self.forward_seconds += self._runner.scheduler.read(self._runner, request, then)
        self.forward_passes += 1
        self.tokens_processed += len(request.tokens)
        self.length += len(self._unread)
        self._unread = []
        self._used += len(request.tokens)

    def request(self, nodes: Sequence[Node]) -> Request:
        """The forward that reads the prefix's unread tokens and these nodes."""
        start, prefix = self._used, self._unread
        length = self.length + len(prefix)
        for slot, node in enumerate(nodes, start + len(prefix)):
            assert node.parent is not None
            node.slots = (*node.parent.slots, slot)
        tokens = [*prefix, *(node.token for node in nodes)]
        positions = [*range(self.length, length), *(length + node.depth - 1 for node in nodes)]
        paths = [node.slots for node in nodes]
        return Request(tokens, positions, length, paths, self._cache, len(nodes) + bool(prefix))

    def commit(self, tokens: Sequence[int]) -> None:
        """Make `tokens` part of the prefix and drop every other draft.

        Keys and values of those already read are kept, and of nodes read behind the last of them;
        tokens that are not read are left to the next forward.
        """
        node = self.root
        read = 0
        for token in tokens:
            following = node.children.get(token)
            if following is None or following.row is None:
                break
            node, read = following, read + 1
        below = list(node.below()) if read == len(tokens) else []
        slots = [*node.slots, *(descendant.slots[-1] for descendant in below)]
        if slots != list(range(self.length, self._used)):
            self._cache.keep(self.length, slots)
        places = {slot: self.length + at for at, slot in enumerate(slots)}
        self.length += read
        self._used = self.length + len(below)
        for descendant in below:
            descendant.slots = tuple(places[slot] for slot in descendant.slots[read:])
            descendant.depth -= read
        for kept in (node, *below):  # guesses that were never read are forgotten
            kept.children = {t: c for t, c in kept.children.items() if c.row is not None}
        _take_apart(self.root, node if read == len(tokens) else None)
        node.token, node.parent, node.depth, node.slots, node.logprob = -1, None, 0, (), None
        self.root = node
        if read < len(tokens):
            self.append(tokens[read:])

    def close(self) -> Cache:
        """Let go of the cache; the tree is of no use after. Returns it, holding the prefix."""
        cache, self._cache = self._cache, self._runner.new_cache()
        if cache.get_seq_length() > self.length:  # drafts, or a forward that was not finished
            cache.keep(self.length, [])
        _take_apart(self.root, None)
        self.root = Node(-1, None, 0)
        return cache


def _take_apart(root: Node, kept: Node | None) -> None:
    """Let go of the nodes below `root` but not below `kept`.

    They know each other, and so would keep their logits until Python looks for such circles.
    """
    waiting = [root]
    while waiting:
        if (node := waiting.pop()) is not kept:
            waiting += node.children.values()
            node.children = {}
