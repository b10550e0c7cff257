"""What a forward is asked for, and the cache that it goes on from: plain values for any runner.

A cache has slots, one for each token that was read, in the order in which they were. Which slots a
token may see follows from what is said of it here; how a model is told so, with masks or with
names of sequences, is its runner's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

__all__ = ["Cache", "Request"]


class Cache(Protocol):
    """Keys and values of one sequence and of the tree of drafts behind it.

    What it holds is given back once nobody refers to it.
    """

    def get_seq_length(self) -> int:
        """How many slots it has."""

    def keep(self, start: int, slots: Sequence[int]) -> None:
        """Keep the first `start` slots, then `slots` in their order, and drop the rest.

        With each slot that is kept those of its ancestors are, before it.
        """

    def copy(self, count: int) -> Self:
        """A cache of its own with the first `count` slots, which are one line of tokens."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens of one sequence to be read: what it asks of a forward.

    First come tokens that continue the prefix, each seeing all of it before them, then nodes of the
    tree behind it: each sees the prefix, its ancestors and itself. They get the cache's next slots
    in their order.

    Attributes:
        tokens: ids, those of the prefix first.
        positions: of each in its text.
        length: slots of the prefix once these are read: the first in the cache.
        paths: of each node the slots of its ancestors behind the prefix, then its own.
        cache: what was read before; the tokens' states are added to it.
        keep: how many of the last tokens' logits are wanted.
    """

    tokens: Sequence[int]
    positions: Sequence[int]
    length: int
    paths: Sequence[tuple[int, ...]]
    cache: Cache
    keep: int

    @property
    def prefix(self) -> int:
        """How many of the tokens continue the prefix."""
        return len(self.tokens) - len(self.paths)

    @property
    def is_text(self) -> bool:
        """Whether it is several tokens of a text, one after another, and nothing else."""
        return not self.paths and len(self.tokens) > 1
