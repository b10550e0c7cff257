"""What a comparison says in one sentence, and what to mind before believing it.

Plain text; knows nothing of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adafuse.compare.report._estimates import plural
from adafuse.compare.report._systems import SystemView
from adafuse.compare.results import ComparisonResults
from adafuse.pages._render import number

__all__ = ["FEW", "Verdict", "view_verdict"]

FEW = 30
"""Below so many questions bootstrap intervals are too narrow to settle anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome.

    Attributes:
        system: that the sentence is about, and that is shown first; None if no ensemble took part.
        kind: "better", "worse" or "unclear".
        claim, figures: the answer in one sentence, and its second half.
        cost: what it takes, or "".
        remarks: what to mind.
    """

    system: SystemView | None
    kind: str
    claim: str
    figures: str
    cost: str
    remarks: tuple[str, ...]


def view_verdict(comparison: ComparisonResults, systems: Sequence[SystemView]) -> Verdict:
    """Judge the ensemble as it was set, or what was chosen on other questions."""
    together = [one for one in systems if not one.alone]
    best = next(one for one in systems if one.best)
    if not together:
        claim = f"Only members by themselves were compared; {best.name} does best."
        return Verdict(None, "unclear", claim, "", "", tuple(_remarks(comparison, systems, None)))
    system = together[-1] if comparison.notes else together[0]
    kind = system.differences[0].verdict or "unclear"
    claim, figures = _sentence(comparison, system, best)
    return Verdict(
        system=system,
        kind=kind if len(comparison.questions) >= FEW else "unclear",
        claim=claim,
        figures=figures,
        cost=_cost(comparison, system, best),
        remarks=tuple(_remarks(comparison, systems, system)),
    )


def _sentence(
    comparison: ComparisonResults, system: SystemView, best: SystemView
) -> tuple[str, str]:
    count, difference = len(comparison.questions), system.differences[0]
    it, member = _called(system), f"its best member, {best.name}"
    unclear = f"No difference can be told between {it} and {member}"
    if math.isnan(difference.mean):
        return f"{unclear}:", "not all scores are numbers."
    if count == 1:
        own, other = system.means[0].value, best.means[0].value
        return (
            f"One question cannot tell whether {it} is better than {member}:",
            f"{comparison.metric} {own} against {other}.",
        )
    if system.tied == count:
        return f"{unclear}:", "they score the same on every question."
    figures = f"{comparison.metric} {difference.value} points (95 % interval {difference.interval}"
    if not difference.verdict:
        return f"{unclear}:", f"{figures}, which includes 0)."
    it = it[0].upper() + it[1:]
    if count < FEW:
        return (
            f"{it} did {difference.verdict} than {member}, on these {count} questions, "
            "which are too few to settle it:",
            f"{figures}).",
        )
    return f"{it} is {difference.verdict} than {member}:", f"{figures})."


def _called(system: SystemView) -> str:
    return "the ensemble" if system.name == "ensemble" else f"the ensemble “{system.name}”"


def _cost(comparison: ComparisonResults, system: SystemView, best: SystemView) -> str:
    own, other = (comparison.systems[one.at].seconds for one in (system, best))
    said = f"An answer takes {system.seconds} s, {best.name} alone {best.seconds} s"
    if not (other > 0 and math.isfinite(own / other)):
        return f"{said}."
    return f"{said}: {number(own / other, 1)} times as long."


def _remarks(
    comparison: ComparisonResults, systems: Sequence[SystemView], chosen: SystemView | None
) -> list[str]:
    count, remarks = len(comparison.questions), []
    if count < FEW:
        remarks.append(
            f"{plural(count, 'question')} only: intervals from fewer than {FEW} are too narrow. "
            "Ask more before you decide."
        )
    together = [one for one in systems if not one.alone]
    if chosen and comparison.notes and len(together) > 1:
        remarks.append(f"“{chosen.name}” was chosen on other questions, so these test it fairly.")
    elif chosen and len(together) > 2:
        ahead = max(together, key=lambda one: comparison.systems[one.at].mean(comparison.metric))
        remarks.append(
            f"{plural(len(together) - 1, 'variant')} met the same questions. The best of many is "
            f"favoured by chance: before you take “{ahead.name}” ({ahead.differences[0].value}) "
            "for better, choose it on other questions."
        )
    for one in systems:
        if one.failed:
            remarks.append(f"{one.name}: {plural(one.failed, 'answer')} failed and scored 0.")
        scores = [
            s for metric in comparison.metrics for s in comparison.systems[one.at].scores[metric]
        ]
        if odd := sum(not math.isfinite(score) for score in scores):
            remarks.append(
                f"{one.name}: {plural(odd, 'score')} {'is' if odd == 1 else 'are'} no finite "
                "number, so there is no mean."
            )
    return remarks
