"""Token trees that grow, are cut and go on at random, each node held against a plain reading."""

from __future__ import annotations

import random
from typing import Any

import torch

from adafuse.local.token_tree import Node, TokenTree
from gguf_models import PlainLlama

__all__ = ["Walk"]


class Walk:
    """One tree; `furthest` is how far any of its logits was from a plain reading's."""

    def __init__(self, runner: Any, plain: PlainLlama, rng: random.Random) -> None:
        self.runner, self.plain, self.rng = runner, plain, rng
        self.furthest = 0.0
        self.held: list[int] = []  # ids of the prefix
        self.tree = TokenTree(runner)

    def ids(self, most: int) -> list[int]:
        """Some tokens."""
        size = self.plain.weights.vocabulary
        return [self.rng.randrange(size) for _ in range(self.rng.randint(1, most))]

    def begin(self, prompt: list[int]) -> None:
        """Begin a tree, behind a kept cache if there is one."""
        self.held = list(prompt)
        self.tree = TokenTree(self.runner)
        self.tree.append(prompt)
        if kept := self.runner.prompts.find(prompt, self.runner.window):
            self.tree.resume(*kept)

    def nodes(self) -> list[Node]:
        """The root, and nodes that are read."""
        return [self.tree.root, *self.tree.root.below()]

    def grow(self, most: int) -> None:
        """Read some lines behind nodes that are read, or behind each other."""
        fresh: dict[Node, None] = {}
        for _ in range(self.rng.randint(0 if self.tree.waiting else 1, most)):
            node = self.rng.choice([*self.nodes(), *fresh])
            for token in self.ids(4):
                node = node.child(token)
                if node.row is None:
                    fresh[node] = None
        if not fresh and not self.tree.waiting:
            return
        new = [self.tree.root] * bool(self.tree.waiting) + list(fresh)
        self.tree.read(list(fresh))
        for node in new:
            self.check(node)

    def check(self, node: Node) -> None:
        """Hold a node's logits against those of its path."""
        assert node.row is not None
        line = [*self.held, *(before.token for before in node.path())]
        right = torch.from_numpy(self.plain.read(line, last=True)[0])
        self.furthest = max(self.furthest, float((node.row - right).abs().max()))

    def commit(self) -> None:
        """Commit the beginning of some line, and perhaps tokens that are not read."""
        node = self.rng.choice(self.nodes())
        tokens = [before.token for before in node.path()]
        tokens += self.ids(5) if self.rng.random() < 0.4 else []
        self.tree.commit(tokens)
        self.held += tokens

    def close(self) -> None:
        """Let go of the tree; what is read of the prefix may be gone on from."""
        read = self.tree.length
        cache = self.tree.close()
        self.runner.prompts.keep(self.held[:read], self.runner.window, cache)
