"""The one sentence that a comparison comes to: the metric that tells, the odds, what to set."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

pytest.importorskip("scipy")

from adafuse.compare import Comparison
from adafuse.compare.terminal import table
from made_comparisons import MEMBERS, comparison, system
from report_reader import report

# Twenty questions, as met: exact match 65 and 40, won 1, lost 6; F1 further apart than by chance.
BEST = [1.0] * 13 + [0.0] * 7
ENSEMBLE = [1.0] * 7 + [0.0] * 6 + [1.0] + [0.0] * 6
BEST_F1 = [1.0] * 13 + [0.4] * 7
ENSEMBLE_F1 = [1.0] * 7 + [0.3] * 6 + [1.0] + [0.4] * 6
MET = {"exact match": ENSEMBLE, "F1": ENSEMBLE_F1}


def of(
    best: dict[str, Sequence[float]],
    ensemble: dict[str, Sequence[float]],
    **variants: dict[str, Sequence[float]],
) -> Comparison:
    weak = {metric: [0.0] * len(scores) for metric, scores in best.items()}
    settings = {"weighted": {"weights": [3, 1], "combine": "product"}, "one": {"branches": 1}}
    return comparison(
        system("small", MEMBERS[:1], weak),
        system("large", MEMBERS[1:], best),
        system("ensemble", MEMBERS, ensemble),
        *(
            system(name, MEMBERS, scores, settings=settings[name])
            for name, scores in variants.items()
        ),
    )


def shown(found: Comparison) -> str:
    """The last line on a terminal that is wide enough."""
    console = Console(file=io.StringIO(), width=1000)
    console.print(table(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip().splitlines()[-1]


def repeated(scores: dict[str, list[float]], times: int = 2) -> dict[str, Sequence[float]]:
    return {metric: own * times for metric, own in scores.items()}


def test_the_metric_that_tells_is_named_with_the_odds() -> None:
    found = of({"exact match": BEST, "F1": BEST_F1}, dict(MET))
    exact, partial = (found.difference(found["ensemble"], metric=m) for m in found.metrics)
    assert not exact.certain
    assert partial.high < 0
    said = report(found).verdict
    assert said.startswith(
        "The ensemble did worse than its best member, large, on these 20 questions, which are too "
        "few to settle it: F1 −18.0 points (95 % interval −"
    )
    assert "; exact match −25.0 (−50.0 to 0.0, which includes 0). " in said
    assert said.endswith("By exact match it won 1 question and lost 6 of 20.")
    assert shown(found) == said


def test_with_questions_enough_it_is_worse() -> None:
    best = repeated({"exact match": BEST, "F1": [1.0] * 20})
    ensemble = repeated({"exact match": BEST, "F1": [0.9] * 20})
    page = report(of(best, ensemble))
    assert page.verdict.startswith(
        "The ensemble is worse than its best member, large: F1 −10.0 points (95 % interval "
        "−10.0 to −10.0); exact match 0.0 (0.0 to 0.0, which includes 0). "
    )
    assert "card verdict worse" in [h.get("class") for _, h in page.tags]


@pytest.mark.parametrize("better", [True, False])
def test_metrics_that_contradict_each_other_tell_nothing(better: bool) -> None:
    """The mean of the one that counts, or a third one, says the contrary."""
    ups = {"EM": [0.0] * 20 + [1.0] * 20, "F1": [0.6] * 40, "chrF": [0.6] * 40}
    downs = {"EM": [0.0] * 19 + [1.0] * 21, "F1": [0.5] * 40, "chrF": [0.6] * 40}
    pair = (ups, downs) if better else (downs, ups)
    said = report(of(*pair)).verdict
    assert said.startswith("No difference can be told between the ensemble and its best member")
    assert f"F1 {'−' if better else '+'}10.0" in said
    level = {**ups, "EM": downs["EM"]}
    assert report(of(level, downs)).verdict.startswith("The ensemble is worse")
    said = report(of(level, {**downs, "chrF": [0.8] * 40})).verdict
    assert said.startswith("No difference")
    assert all(f"{name} {value}" in said for name, value in [("F1", "−10.0"), ("chrF", "+20.0")])


def test_the_metric_that_counts_goes_first_where_it_tells() -> None:
    best = {"EM": [0.0] * 40, "F1": [1.0] * 40}
    said = report(of(best, {"EM": [1.0] * 40, "F1": [0.5] * 40})).verdict
    assert said.startswith("The ensemble is better than its best member, small: EM +100.0")
    assert "; F1 " in said


def test_a_variant_that_is_clearly_better_is_named_with_its_settings() -> None:
    level = {"exact match": BEST, "F1": BEST_F1}
    found = of(level, dict(MET), weighted=level, one=dict(MET))
    advice = (
        "“weighted” did better than the settings of “ensemble”, on these 20 questions, which are "
        "too few to settle it: F1 +18.0 points (95 % interval +"
    )
    assert advice in report(found).flat
    assert advice in shown(found)
    assert shown(found).endswith("To have it, set weights=[3, 1] combine=product.")
    assert "“one”" not in shown(found)


def test_variants_that_are_not_clearly_better_are_not_named() -> None:
    level = {"exact match": BEST, "F1": BEST_F1}
    assert "To have it" not in shown(of(level, level, weighted=dict(MET), one=level))
    found = of(level, dict(MET), weighted={**level, "F1": ENSEMBLE_F1})
    assert "To have it" not in shown(found)


def test_what_a_terminal_shows_is_not_obeyed() -> None:
    evil = comparison(
        system("a\x1b[2J", ["a"], {"EM": [1.0]}), system("ensemble", ["a", "b"], {"EM": [0.0]})
    )
    assert "\x1b" not in shown(evil).replace("\x1b[1m", "").replace("\x1b[0m", "")
