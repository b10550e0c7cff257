"""Choosing on development questions: the best pair of several members, then the best settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adafuse.compare.dataset import Question
from adafuse.compare.results import SystemResult
from adafuse.compare.systems import ENSEMBLE, System, of_members, together
from adafuse.ensemble import Ensemble

__all__ = ["Runner", "choose"]

Settings = Mapping[str, Any]
Runner = Callable[[str, Sequence[System], Sequence[Question]], list[SystemResult]]


def choose(
    everyone: Ensemble,
    variants: Mapping[str, Settings],
    shared: Settings,
    questions: Sequence[Question],
    run: Runner,
) -> tuple[Ensemble, dict[str, Settings], list[str]]:
    """The best pair and the best variant on these questions, and what was found there.

    The paper takes the two models that do best together. Of equals the earlier is taken, so that
    the ensemble as it is goes before its variants. Settings that name members that are not in a
    pair do not apply to it.
    """
    names = [one.name for one in everyone.members]
    ensemble, notes = everyone, []
    if len(names) > 2:
        pairs = [Ensemble(pair) for pair in itertools.combinations(everyone.members, 2)]
        systems = [_pair(pair, names, shared) for pair in pairs]
        results = run("pairs", systems, questions)
        best = _best(results)
        ensemble = pairs[best]
        notes.append(_note("pair", results, best, len(questions)))
    chosen = [one.name for one in ensemble.members]
    common = of_members(shared, names, chosen) or {}
    fitting = {
        name: own
        for name, change in variants.items()
        if (own := of_members(change, names, chosen)) is not None
    }
    if not fitting:
        return ensemble, {}, notes
    systems = [together(ENSEMBLE, ensemble, common, {})]
    systems += [together(name, ensemble, common, one) for name, one in fitting.items()]
    results = run("variants", systems, questions)
    best = _best(results)
    notes.append(_note("setting", results, best, len(questions)))
    name = results[best].name
    return ensemble, {name: fitting[name]} if best else {}, notes


def _pair(pair: Ensemble, names: Sequence[str], shared: Settings) -> System:
    own = [one.name for one in pair.members]
    return together(" + ".join(own), pair, of_members(shared, names, own) or {}, {})


def _best(results: Sequence[SystemResult]) -> int:
    means = [_first(one)[1] for one in results]
    return means.index(max(means))


def _first(one: SystemResult) -> tuple[str, float]:
    """The metric that counts, and the mean; 0 of none where all answers failed."""
    metric = next(iter(one.scores), "")
    return metric, one.mean(metric) if metric else 0.0


def _note(what: str, results: Sequence[SystemResult], best: int, count: int) -> str:
    metric = next((name for one in results if (name := _first(one)[0])), "no answer")
    listed = "; ".join(f"{one.name} {_first(one)[1]:.3f}" for one in results)
    return f"{what} chosen on {count} other questions by {metric}: {results[best].name} ({listed})"
