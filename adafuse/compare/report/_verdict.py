"""What a comparison says in one sentence, and what to mind before believing it.

Plain text; knows nothing of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from adafuse.compare.report._systems import SystemView
from adafuse.compare.results import ComparisonResults
from adafuse.pages._render import number, plural

__all__ = ["FEW", "view_verdict"]

FEW = 30
"""Below so many questions bootstrap intervals are too narrow to settle anything."""


def view_verdict(comparison: ComparisonResults, systems: Sequence[SystemView]) -> dict[str, Any]:
    """Judge the ensemble as it was set, or what was chosen on other questions.

    The sentence, `claim` and `figures`, is about `system`, which is None if no ensemble took part.
    """
    together = [system for system in systems if not system.alone]
    best = next(system for system in systems if system.best)
    verdict: dict[str, Any] = {"system": None, "kind": "unclear", "figures": "", "cost": ""}
    if not together:
        verdict["claim"] = f"Only members by themselves were compared; {best.name} does best."
    else:
        system = together[-1] if comparison.notes else together[0]
        claim, figures = _sentence(comparison, system, best)
        verdict |= {"system": system, "claim": claim, "figures": figures}
        verdict["cost"] = _cost(system, best)
        if len(comparison.questions) >= FEW:
            verdict["kind"] = system.differences[0].verdict or "unclear"
    return {**verdict, "remarks": list(_remarks(comparison, systems, together))}


def _sentence(
    comparison: ComparisonResults, system: SystemView, best: SystemView
) -> tuple[str, str]:
    count, metric, difference = len(comparison.questions), comparison.metric, system.differences[0]
    name = "the ensemble" if system.name == "ensemble" else f"the ensemble “{system.name}”"
    member = f"its best member, {best.name}"
    no_difference = f"No difference can be told between {name} and {member}:"
    if math.isnan(difference.mean):
        return no_difference, "not all scores are numbers."
    if count == 1:
        return (
            f"One question cannot tell whether {name} is better than {member}:",
            f"{metric} {system.means[0].value} against {best.means[0].value}.",
        )
    if system.tied == count:
        return no_difference, "they score the same on every question."
    figures = f"{metric} {difference.value} points (95 % interval {difference.interval}"
    if not difference.verdict:
        return no_difference, f"{figures}, which includes 0)."
    name = name[0].upper() + name[1:]
    few = f", on these {count} questions, which are too few to settle it" if count < FEW else ""
    return (
        f"{name} {'did' if few else 'is'} {difference.verdict} than {member}{few}:",
        f"{figures}).",
    )


def _cost(system: SystemView, best: SystemView) -> str:
    own, other = system.result.seconds, best.result.seconds
    cost = f"An answer takes {number(own, 2)} s, {best.name} alone {number(other, 2)} s"
    if not (other > 0 and math.isfinite(own / other)):
        return f"{cost}."
    return f"{cost}: {number(own / other, 1)} times as long."


def _remarks(
    comparison: ComparisonResults, systems: Sequence[SystemView], together: Sequence[SystemView]
) -> Iterator[str]:
    count = len(comparison.questions)
    if count < FEW:
        yield (
            f"{plural(count, 'question')} only: intervals from fewer than {FEW} are too narrow. "
            "Ask more before you decide."
        )
    if comparison.notes and len(together) > 1:
        yield f"“{together[-1].name}” was chosen on other questions, so these test it fairly."
    elif len(together) > 2:
        ahead = max(together, key=lambda system: system.result.mean(comparison.metric))
        yield (
            f"{plural(len(together) - 1, 'variant')} met the same questions. The best of many is "
            f"favoured by chance: before you take “{ahead.name}” ({ahead.differences[0].value}) "
            "for better, choose it on other questions."
        )
    for system in systems:
        if system.result.failed:
            failed = plural(system.result.failed, "answer")
            yield f"{system.name}: {failed} failed and scored 0."
        scores = [score for own in system.result.scores.values() for score in own]
        if odd := sum(not math.isfinite(score) for score in scores):
            count_is = plural(odd, "score") + (" is" if odd == 1 else " are")
            yield f"{system.name}: {count_is} no finite number, so there is no mean."
