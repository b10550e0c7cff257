"""Measuring what a model's forwards cost, when it is loaded: see `cost_curve`."""

from __future__ import annotations

import math
import statistics
import time

from adafuse.local.cost_curve import CostCurve
from adafuse.local.request import Request
from adafuse.local.runner import Runner
from adafuse.local.token_tree import TokenTree

__all__ = ["WIDTHS", "measure"]

WIDTHS = (1, 4, 16, 64)
"""New tokens of the forwards that are measured."""
_PREFIX = 16  # tokens that are read before them
_RUNS = 3  # of each width, after one that prepares it
_ENOUGH = 0.3  # seconds after which no further run of a width begins
_LONGEST = 2.0  # seconds after which no further width is begun, once there are two


def measure(runner: Runner) -> CostCurve:
    """Time a few forwards of a model, medians of up to three; of slow models fewer and narrower.

    Raises:
        ValueError: its context window is too small. What its forwards raise passes through.
    """
    tree = TokenTree(runner)
    tree.append(_tokens(runner, _PREFIX))
    runner.forward(request := tree.request([]))
    cache = request.cache
    points: list[tuple[float, float]] = []
    room = (runner.window or math.inf) - _PREFIX
    begun = time.perf_counter()
    for width in (width for width in WIDTHS if width <= room):
        if len(points) > 1 and time.perf_counter() - begun > _LONGEST:
            break
        tree = TokenTree(runner)
        tree.append(_tokens(runner, _PREFIX))
        tree.resume(cache, _PREFIX)
        seconds: list[float] = []
        while not seconds or (len(seconds) <= _RUNS and sum(seconds) < _ENOUGH):
            request = tree.request(tree.line(_tokens(runner, width)))
            seconds.append(_seconds(runner, request))
            cache.keep(_PREFIX, [])
        # A wider forward is not cheaper, whatever the clock says.
        cost = round(statistics.median(seconds[1:] or seconds) * 1e3, 3)
        points.append((width, max(cost, points[-1][1] if points else 0.0)))
    return CostCurve(tuple(points))


def _seconds(runner: Runner, request: Request) -> float:
    begun = time.perf_counter()
    runner.forward(request)[-1, 0].item()  # a GPU is not done before
    return time.perf_counter() - begun


def _tokens(runner: Runner, count: int) -> list[int]:
    return [(7 * at + 3) % runner.vocabulary for at in range(count)]
