"""Guesses of tokens that may be needed soon, and which of them a forward reads.

Knows nodes and chances; what is guessed, and why, is for `speculation` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from adafuse.local.cost_curve import CostCurve
from adafuse.local.token_tree import Node

__all__ = ["CHANCES", "Chosen", "Counted", "Guess", "Weighed"]

_HINTED = 32  # tokens that others propose and that one forward of no known cost may read

CHANCES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "hint": (0.7, 1.0),
        "word": (0.5, 0.9),
        "likely": (1.8, 0.5),  # where the answer goes is more certain than one member alone is
        "quotation": (0.2, 0.95),
        "follower": (0.07, 0.7),
    }
)
"""By kind of guess, how many forwards its first token saves, and of that each token after it.

Counted by `python -m benchmarks guesses --prompts 3 --tokens 24` on the demo pair: of 1,390 tokens
that were guessed in 12 answers, the first of each guess saved 0.70 forwards (181 hints), 0.50 (43
of words), 0.20 (311 of quotations), 0.07 (761 followers) and 0.51 (94 likely ones, where the answer
was expected to get with a probability of 0.28).
"""


@dataclass(frozen=True, slots=True)
class Guess:
    """Tokens that may be needed after a node, one after another, and how likely it is reached."""

    node: Node
    ids: Sequence[int]
    kind: str  # of CHANCES
    reached: float = 1.0

    def chances(self) -> Iterator[float]:
        """Each token's chance to save a forward."""
        chance, rest = CHANCES[self.kind]
        chance = min(chance * self.reached, 1.0)
        for _ in self.ids:
            yield chance
            chance *= rest


class Chosen(Protocol):
    """Nodes that one forward will read, beside those it has to."""

    def add(self, guess: Guess) -> None:
        """Take note of a guess."""

    def nodes(self) -> list[Node]:
        """Those worth reading, each after its parent."""


class _New:
    """Which nodes of a guess a forward would have to read: those that are new to it."""

    def __init__(self, root: Node, unread: Sequence[Node], room: int) -> None:
        self._room = room
        self._known = {id(node) for node in (root, *unread)}

    def of(self, guess: Guess) -> Iterator[tuple[Node, float]]:
        """The nodes with their chances, as far as there is room; made where they are new."""
        node = guess.node
        for token, chance in zip(guess.ids, guess.chances(), strict=True):
            if node.depth >= self._room:
                return
            node = node.child(token)
            if node.row is None and id(node) not in self._known:
                yield node, chance


class Counted:
    """So many nodes of the first guesses, and more of what others propose."""

    def __init__(self, root: Node, unread: Sequence[Node], room: int, width: int) -> None:
        self._new, self._width = _New(root, unread, room), width
        self._nodes: dict[Node, None] = {}

    def add(self, guess: Guess) -> None:
        """Take the nodes that there is room for."""
        limit = _HINTED if guess.kind == "hint" else self._width
        for node, _ in self._new.of(guess):
            if node not in self._nodes and len(self._nodes) >= limit:
                return
            self._nodes[node] = None

    def nodes(self) -> list[Node]:
        """Those taken, in their order."""
        return list(self._nodes)


class Weighed:
    """The nodes whose chances are worth what a forward that is `width` wide then costs more."""

    def __init__(
        self, root: Node, unread: Sequence[Node], room: int, curve: CostCurve, width: int
    ) -> None:
        self._new, self._curve, self._width = _New(root, unread, room), curve, width
        self._chances: dict[Node, float] = {}

    def add(self, guess: Guess) -> None:
        """Note the nodes' chances; what several guesses name has the best of theirs."""
        for node, chance in self._new.of(guess):
            self._chances[node] = max(chance, self._chances.get(node, 0.0))

    def nodes(self) -> list[Node]:
        """Those that save more than they cost, the best first."""
        # No token's chance is above that of the one before it, so that each is behind its parent.
        best = sorted(self._chances, key=lambda node: -self._chances[node])
        count = self._curve.worthwhile(self._width, [self._chances[node] for node in best])
        return best[:count]
