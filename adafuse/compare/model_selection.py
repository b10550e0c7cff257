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
    names = [member.name for member in everyone.members]
    ensemble, notes = everyone, list[str]()
    if len(names) > 2:
        pairs = [Ensemble(pair) for pair in itertools.combinations(everyone.members, 2)]
        systems = [_pair(pair, names, shared) for pair in pairs]
        best, note = _best("pair", run("pairs", systems, questions), len(questions))
        ensemble = pairs[best]
        notes.append(note)
    chosen = [member.name for member in ensemble.members]
    common = of_members(shared, names, chosen)
    fitting = {name: of_members(change, names, chosen) for name, change in variants.items()}
    if not fitting:
        return ensemble, {}, notes
    systems = [together(ENSEMBLE, ensemble, common, {})]
    systems += [together(name, ensemble, common, own) for name, own in fitting.items()]
    best, note = _best("setting", run("variants", systems, questions), len(questions))
    name = systems[best].name
    return ensemble, {name: fitting[name]} if best else {}, [*notes, note]


def _pair(pair: Ensemble, names: Sequence[str], shared: Settings) -> System:
    own = [member.name for member in pair.members]
    return together(" + ".join(own), pair, of_members(shared, names, own), {})


def _best(what: str, results: Sequence[SystemResult], count: int) -> tuple[int, str]:
    """Which does best by the metric that counts, and a note of it; what failed has no metrics."""
    metric = next((name for result in results for name in result.scores), "no answer")
    means = [result.mean(metric) if metric in result.scores else 0.0 for result in results]
    best = means.index(max(means))
    listed = "; ".join(f"{r.name} {mean:.3f}" for r, mean in zip(results, means, strict=True))
    name = results[best].name
    return best, f"{what} chosen on {count} other questions by {metric}: {name} ({listed})"
