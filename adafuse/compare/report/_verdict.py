"""What a comparison says in one sentence, and what to mind before believing it.

Plain text; knows nothing of HTML.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from adafuse.compare.report._systems import Estimate, SystemView, estimated_differences
from adafuse.compare.results import ComparisonResults
from adafuse.compare.systems import ENSEMBLE
from adafuse.pages._render import number, plural

__all__ = ["FEW", "view_verdict"]

FEW = 30
"""Below so many questions bootstrap intervals are too narrow to settle anything."""


def view_verdict(comparison: ComparisonResults, systems: Sequence[SystemView]) -> dict[str, Any]:
    """Judge the ensemble as it was set, or what was chosen on other questions.

    The sentence, `claim` and `figures`, is about `system`, which is None if no ensemble took part;
    `advice` names a variant that is clearly better, with its settings.
    """
    together = [system for system in systems if not system.alone]
    best = next(system for system in systems if system.best)
    verdict: dict[str, Any] = {
        "system": None, "kind": "unclear", "figures": "", "cost": "", "advice": "",
    }  # fmt: skip
    if not together:
        verdict["claim"] = f"Only members by themselves were compared; {best.name} does best."
    else:
        system = together[-1] if comparison.notes else together[0]
        claim, figures = _sentence(comparison, system, best)
        verdict |= {"system": system, "claim": claim, "figures": figures}
        verdict["cost"] = _cost(system, best)
        verdict["advice"] = _advice(comparison, together)
        if len(comparison.questions) >= FEW:
            verdict["kind"] = _judge(system.differences)[0] or "unclear"
    return {**verdict, "remarks": list(_remarks(comparison, systems, together))}


def _judge(differences: Sequence[Estimate]) -> tuple[str, int]:
    """ "better", "worse" or "" by these metrics, and which of them tells.

    The one that counts goes first. Another tells in its place unless a third one, or the mean of
    the one that counts, says the contrary.
    """
    told = {estimate.verdict: at for at, estimate in reversed([*enumerate(differences)])}
    told.pop("", None)
    first = differences[0]
    if first.verdict or len(told) != 1:
        return first.verdict, 0
    ((verdict, at),) = told.items()
    contrary = first.mean > 0 if verdict == "worse" else first.mean < 0
    return ("", 0) if contrary or math.isnan(first.mean) else (verdict, at)


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
    verdict, at = _judge(system.differences)
    figures = _figures(comparison, system, at)
    if all(estimate.low == estimate.high == 0 for estimate in system.differences):
        return no_difference, "they score the same on every question."
    if not verdict:
        return no_difference, figures
    name = name[0].upper() + name[1:]
    few = _on_few(comparison)
    return f"{name} {'did' if few else 'is'} {verdict} than {member}{few}:", figures


def _figures(comparison: ComparisonResults, system: SystemView, at: int) -> str:
    """The difference by the metric that tells, what the others say, and the odds."""
    names, differences = comparison.metrics, system.differences
    parts = [f"{names[at]} {differences[at].value} points (95 % interval "
             f"{differences[at].interval}{_doubt(differences[at])})"]  # fmt: skip
    parts += [
        f"{name} {estimate.value} ({estimate.interval}{_doubt(estimate)})"
        for other, (name, estimate) in enumerate(zip(names, differences, strict=True))
        if other != at and (other == 0 or estimate.verdict) and estimate.has_interval
    ]
    return (
        f"{'; '.join(parts)}. By {names[0]} it won {plural(system.won, 'question')} and lost "
        f"{system.lost} of {len(comparison.questions)}."
    )


def _doubt(estimate: Estimate) -> str:
    return "" if estimate.verdict else ", which includes 0"


def _on_few(comparison: ComparisonResults) -> str:
    count = len(comparison.questions)
    return f", on these {count} questions, which are too few to settle it" if count < FEW else ""


def _advice(comparison: ComparisonResults, together: Sequence[SystemView]) -> str:
    """Which variant is clearly better than the ensemble as it was set, and how to have it."""
    default, *variants = together
    if default.name != ENSEMBLE:
        return ""
    clear = []
    for variant in variants:
        differences = estimated_differences(comparison, variant.result, default.result)
        verdict, at = _judge(differences)
        if verdict == "better":
            clear.append((variant.result.mean(comparison.metric), variant, differences[at], at))
    if not clear:
        return ""
    _, variant, difference, at = max(clear, key=lambda found: found[0])
    settings = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in variant.result.settings.items()
    )
    few = _on_few(comparison)
    return (
        f"“{variant.name}” {'did' if few else 'is'} better than the settings of “{ENSEMBLE}”{few}: "
        f"{comparison.metrics[at]} {difference.value} points (95 % interval "
        f"{difference.interval}). To have it, set {settings}."
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
