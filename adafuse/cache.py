"""A tree of drafted tokens over one key-value cache: the only module that touches them.

The cache holds the prompt and the committed tokens, then the tree nodes in the order in which
they were read:

    slot    0 … length-1 | length …
    holds   prefix       | nodes of this round

A 4-D mask lets a node see the prefix, its ancestors and itself; its position is its depth. So all
branches go through the model together, and on commit the winner's keys and values are kept where
the others' are dropped. This module knows ids and tensors, not texts, words or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from adafuse.backbone import SLIDING, Backbone
from adafuse.distributions import Outlook

__all__ = ["Node", "TokenTree"]


@dataclass(eq=False, slots=True)
class Node:
    """A token after the prefix, or the prefix's end (`parent` is None).

    Attributes:
        token: its id; -1 for the prefix's end.
        parent: the node before it.
        depth: tokens between the prefix and it, itself included.
        slots: cache slots of its ancestors and itself; empty until it is read.
        children: nodes after it, by token.
        row: logits of the next token on the model's device, shape (V,), once it is read.
        logprob: log-probability of the token after its parent, in nats, once known.
        next: what is known on the host of the next token, once it is read.
    """

    token: int
    parent: Node | None
    depth: int
    slots: tuple[int, ...] = ()
    children: dict[int, Node] = field(default_factory=dict)
    row: torch.Tensor | None = None
    logprob: float | None = None
    next: Outlook | None = None

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


class TokenTree:
    """One sequence in a model's cache, with a tree of drafts at its end.

    Attributes:
        root: the end of the prefix; read once its last token is.
        length: tokens of the prefix in the cache.
        forward_passes: forwards so far.
        tokens_processed: tokens those forwards read.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._cache = DynamicCache()  # without a config: sliding layers would drop old states
        self._used = 0  # slots in the cache
        self._unread: list[int] = []  # prefix tokens that are not in the cache yet
        self.root = Node(-1, None, 0)
        self.length = 0
        self.forward_passes = 0
        self.tokens_processed = 0

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens to the prefix; `read_prefix` reads them."""
        self._unread.extend(tokens)
        self.root.row = self.root.next = None

    def read_prefix(self) -> None:
        """Run the prefix's unread tokens through the model: one forward. Sets the root's `row`."""
        tokens, self._unread = self._unread, []
        positions = range(self.length, self.length + len(tokens))
        self.root.row = self._forward(tokens, positions, None, last=True)[-1]
        self.length = self._used = self.length + len(tokens)

    def read(self, nodes: Sequence[Node]) -> None:
        """Run nodes through the model, each after its parent: one forward. Sets their `row`."""
        start = self._used
        for slot, node in enumerate(nodes, start):
            assert node.parent is not None
            node.slots = (*node.parent.slots, slot)
        positions = [self.length + node.depth - 1 for node in nodes]
        tokens = [node.token for node in nodes]
        rows = self._forward(tokens, positions, self._seen(nodes, positions), last=False)
        self._used = start + len(nodes)
        for node, row in zip(nodes, rows, strict=True):
            node.row = row

    def commit(self, tokens: Sequence[int]) -> None:
        """Make `tokens` part of the prefix and drop every other draft.

        Keys and values of those already read are kept; the rest is left to `read_prefix`.
        """
        node = self.root
        read = 0
        for token in tokens:
            following = node.children.get(token)
            if following is None or following.row is None:
                break
            node, read = following, read + 1
        self._keep(node.slots)
        self.root = Node(-1, None, 0, row=node.row, next=node.next)
        if read < len(tokens):
            self.append(tokens[read:])

    def close(self) -> None:
        """Let go of the cache; the tree is of no use after."""
        self._cache = DynamicCache()
        self.root = Node(-1, None, 0)

    def _keep(self, slots: Sequence[int]) -> None:
        """Keep the prefix and these slots of each layer; keys and values are (1, H, S, D)."""
        kept = self.length + len(slots)
        if kept < self._used:
            in_place = list(slots) == list(range(self.length, kept))
            for layer in self._cache.layers:
                if (
                    not isinstance(layer, DynamicLayer)
                    or layer.keys is None
                    or layer.values is None
                ):
                    continue  # a layer that shares another's keys and values holds none
                if in_place:
                    layer.keys, layer.values = layer.keys[:, :, :kept], layer.values[:, :, :kept]
                else:
                    index = torch.tensor(slots, device=layer.keys.device)
                    layer.keys = self._select(layer.keys, index)
                    layer.values = self._select(layer.values, index)
        self.length = self._used = kept

    def _select(self, states: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """The prefix and the given slots of (1, H, S, D)."""
        return torch.cat([states[:, :, : self.length], states.index_select(2, slots)], dim=2)

    def _seen(
        self, nodes: Sequence[Node], positions: Sequence[int]
    ) -> dict[str, torch.Tensor] | None:
        """Which slots each node may see, by layer type, shape (n, slots); None: all before it."""
        total = self._used + len(nodes)
        if len(nodes) == 1 and len(nodes[0].slots) == total - self.length:
            return None  # a single line of tokens: every slot is the prefix or an ancestor
        lineage = torch.zeros(len(nodes), total, dtype=torch.bool)
        lineage[:, : self.length] = True
        for row, node in enumerate(nodes):
            lineage[row, list(node.slots)] = True
        layout = self._backbone.layout
        if layout.window is None:
            return dict.fromkeys(layout.types, lineage)
        near = lineage & self._within(nodes, positions, total, layout.window)
        return {kind: near if kind == SLIDING else lineage for kind in layout.types}

    def _within(
        self, nodes: Sequence[Node], positions: Sequence[int], total: int, window: int
    ) -> torch.Tensor:
        """Which slots are within the window of each node, by position; shape (n, slots)."""
        places = torch.arange(total)
        for node in nodes:  # slots of the tree are not in order of position
            places[list(node.slots)] = torch.arange(self.length, self.length + node.depth)
        return places[None, :] > torch.tensor(positions)[:, None] - window

    def _forward(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        seen: dict[str, torch.Tensor] | None,
        *,
        last: bool,
    ) -> torch.Tensor:
        self.forward_passes += 1
        self.tokens_processed += len(tokens)
        return self._backbone.forward(tokens, positions, seen, self._cache, last=last)
