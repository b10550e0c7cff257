"""What a comparison says in one sentence, and what to mind before believing it.

Plain text; knows nothing of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adafuse.compare.report._estimates import plural
from adafuse.compare.report._systems import SystemView
from adafuse.pages._numbers import number

if TYPE_CHECKING:
    from adafuse.compare.results import Comparison

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


def view_verdict(found: Comparison, systems: Sequence[SystemView]) -> Verdict:
    """Judge the ensemble as it was set, or what was chosen on other questions."""
    together = [one for one in systems if not one.alone]
    best = next(one for one in systems if one.best)
    if not together:
        claim = f"Only members by themselves were compared; {best.name} does best."
        return Verdict(None, "unclear", claim, "", "", tuple(_remarks(found, systems, None)))
    system = together[-1] if found.notes else together[0]
    kind = system.differences[0].verdict or "unclear"
    claim, figures = _sentence(found, system, best)
    return Verdict(
        system=system,
        kind=kind if len(found.questions) >= FEW else "unclear",
        claim=claim,
        figures=figures,
        cost=_cost(found, system, best),
        remarks=tuple(_remarks(found, systems, system)),
    )


def _sentence(found: Comparison, system: SystemView, best: SystemView) -> tuple[str, str]:
    count, difference = len(found.questions), system.differences[0]
    it, member = _called(system), f"its best member, {best.name}"
    untold = f"No difference can be told between {it} and {member}"
    if math.isnan(difference.mean):
        return f"{untold}:", "not all scores are numbers."
    if count == 1:
        own, other = system.means[0].value, best.means[0].value
        return (
            f"One question cannot tell whether {it} is better than {member}:",
            f"{found.metric} {own} against {other}.",
        )
    if system.tied == count:
        return f"{untold}:", "they score the same on every question."
    figures = f"{found.metric} {difference.value} points (95 % interval {difference.interval}"
    if not difference.verdict:
        return f"{untold}:", f"{figures}, which includes 0)."
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


def _cost(found: Comparison, system: SystemView, best: SystemView) -> str:
    own, other = (found.systems[one.at].seconds for one in (system, best))
    said = f"An answer takes {system.seconds} s, {best.name} alone {best.seconds} s"
    if not (other > 0 and math.isfinite(own / other)):
        return f"{said}."
    return f"{said}: {number(own / other, 1)} times as long."


def _remarks(
    found: Comparison, systems: Sequence[SystemView], chosen: SystemView | None
) -> list[str]:
    count, remarks = len(found.questions), []
    if count < FEW:
        remarks.append(
            f"{plural(count, 'question')} only: intervals from fewer than {FEW} are too narrow. "
            "Ask more before you decide."
        )
    together = [one for one in systems if not one.alone]
    if chosen and found.notes and len(together) > 1:
        remarks.append(f"“{chosen.name}” was chosen on other questions, so these test it fairly.")
    elif chosen and len(together) > 2:
        ahead = max(together, key=lambda one: found.systems[one.at].mean(found.metric))
        remarks.append(
            f"{plural(len(together) - 1, 'variant')} met the same questions. The best of many is "
            f"favoured by chance: before you take “{ahead.name}” ({ahead.differences[0].value}) "
            "for better, choose it on other questions."
        )
    for one in systems:
        if one.failed:
            remarks.append(f"{one.name}: {plural(one.failed, 'answer')} failed and scored 0.")
        scores = [s for metric in found.metrics for s in found.systems[one.at].scores[metric]]
        if odd := sum(not math.isfinite(score) for score in scores):
            remarks.append(
                f"{one.name}: {plural(odd, 'score')} {'is' if odd == 1 else 'are'} no finite "
                "number, so there is no mean."
            )
    return remarks
