"""What a forward costs by how many new tokens it reads, and how many guesses that is worth.

A GPU reads fifty tokens for the price of one, bfloat16 on a CPU eight, and llama.cpp on a CPU
charges for each. So what to read ahead is a matter of the member: a guess pays if its chance of
saving a forward, times what that forward would cost, is more than one more token costs now. This
module knows milliseconds and chances, neither tokens nor texts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CostCurve", "unmeasured_width"]

_WIDTH = 16  # tokens that a forward may read for about the price of two
_SHARED_WIDTH = 48  # tokens of a shared forward beyond which guesses cost more than they save


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Milliseconds of a forward by its new tokens, linear between points and beyond the last two.

    `points` are (tokens, milliseconds) from one token on, tokens rising; `most` is how many guesses
    a forward may read whatever they cost.

    Raises:
        ValueError: there are no two of them, or they do not rise.
    """

    points: tuple[tuple[float, float], ...]
    most: float = math.inf

    def __post_init__(self) -> None:
        pairs = list(itertools.pairwise(self.points))
        if not pairs or any(a[0] >= b[0] or a[1] > b[1] for a, b in pairs):
            raise ValueError(f"a cost curve must rise, not {self.points}")

    @property
    def widest(self) -> float:
        """Tokens of the widest forward that is known."""
        return self.points[-1][0]

    def cost(self, tokens: float) -> float:
        """Milliseconds of a forward of so many new tokens."""
        pairs = list(itertools.pairwise(self.points))
        (at, cost), (end, more) = next((p for p in pairs if tokens <= p[1][0]), pairs[-1])
        return cost + (more - cost) * (tokens - at) / (end - at)

    def shared(self, callers: int, most: float = math.inf) -> CostCurve:
        """The curve of one of several callers, whose forwards are equally wide and run together."""
        return CostCurve(tuple((n / callers, cost / callers) for n, cost in self.points), most)

    def worthwhile(self, width: int, chances: Sequence[float]) -> int:
        """How many guesses to read, the best first, in a forward that has so many tokens anyway.

        `chances` are theirs to save a forward of one token, falling. The number is that of the
        largest saving less what the wider forward costs more; never beyond `widest` or `most`.
        """
        saved = itertools.accumulate(chance * self.cost(1) for chance in chances)
        gains = [0.0]
        for count, saving in enumerate(saved, 1):
            if width + count > self.widest or count > self.most:
                break
            gains.append(saving - (self.cost(width + count) - self.cost(width)))
        return max(range(len(gains)), key=lambda count: (round(gains[count], 9), -count))


def unmeasured_width(callers: int, most: int = _WIDTH) -> int:
    """How many tokens each of several callers may read in a forward of no known cost."""
    return max(min(_WIDTH, _SHARED_WIDTH // callers, most), 1)
