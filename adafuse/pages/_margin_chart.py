"""Where the strip of margins draws what: a lane for each member, a column for each round.

    ┌ marks: which rounds were contested
    │ lane A  ▐▐ ▐▐▐   a bar is the smallest margin that the member had in that round, 0 to 1
    │ lane B  ▐▐▐ ▐▐
    └ round numbers

Plain numbers, in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adafuse.pages._numbers import number
from adafuse.pages._rounds import MemberView, RoundView

__all__ = ["Column", "Lane", "Strip", "view_strip"]

_MARKS = 16  # height of the row of marks
_AXIS = 20  # and of that of round numbers
_GAP = 8
_WIDTH = 640  # what few rounds spread over
_NARROW, _WIDE = 7, 22  # of a column


@dataclass(frozen=True, slots=True)
class Lane:
    """A member's row: its bars stand on `bottom` and reach `top` for a margin of 1."""

    member: MemberView
    top: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Column:
    """A round: its left edge, its middle, what it says, and a bar for each lane that has one.

    A bar is the style of its member, where it begins, and how high it is.
    """

    at: int
    left: float
    middle: float
    kind: str
    says: str
    bars: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """The whole drawing. Ticks are positions and numbers of rounds."""

    width: float
    height: int
    column: float
    bar: float
    lanes: tuple[Lane, ...]
    columns: tuple[Column, ...]
    ticks: tuple[tuple[float, int], ...]


def view_strip(rounds: Sequence[RoundView], members: Mapping[str, MemberView]) -> Strip:
    """Lay out the margins of all rounds."""
    tall = 44 if len(members) <= 4 else 28
    lanes = [
        Lane(member, top := _MARKS + at * (tall + _GAP), top + tall)
        for at, member in enumerate(members.values())
    ]
    column = round(min(_WIDE, max(_NARROW, _WIDTH / max(len(rounds), 1))), 1)
    columns = [_column(one, lanes, column) for one in rounds]
    step = next((step for step in (1, 5, 10) if step * column >= 24), 10)
    ticks = [(one.middle, one.at) for one in columns if one.at == 1 or one.at % step == 0]
    if len(ticks) > 1 and ticks[1][0] - ticks[0][0] < 20:
        del ticks[1]
    height = _MARKS + len(lanes) * (tall + _GAP) + _AXIS
    return Strip(
        # The last number may be wider than its column.
        width=round(len(rounds) * column + 12, 1),
        height=height,
        column=column,
        bar=round(max(column - 3, column * 0.6), 1),
        lanes=tuple(lanes),
        columns=tuple(columns),
        ticks=tuple(ticks),
    )


def _column(one: RoundView, lanes: Sequence[Lane], width: float) -> Column:
    left = (one.at - 1) * width
    bars, figures = [], []
    for lane in lanes:
        margin = one.lowest.get(lane.member.name)
        if margin is not None:
            height = max(1.5, margin * (lane.bottom - lane.top))
            bars.append((lane.member.style, lane.bottom, round(height, 1)))
            figures.append(f"{lane.member.letter} {number(margin, 3)}")
    says = f"Round {one.index}, {one.kind}"
    if figures:
        says += f"; smallest margins: {', '.join(figures)}"
    middle = round(left + width / 2, 1)
    return Column(one.at, round(left, 1), middle, one.kind, says, tuple(bars))
