"""The report of a comparison: what it claims, escaping, every answer, odd numbers, its size."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adafuse import ConfigError, Ensemble
from adafuse.pages import report_page
from adafuse.testing import ScriptedMember
from made_answers import EVIL, Page

pytest.importorskip("scipy")

from adafuse.compare import Comparison, Interval, compare
from adafuse.compare.report._interval_plot import lay_out
from adafuse.compare.report._systems import view_systems
from made_comparisons import comparison, of_two, system
from report_reader import FULL, HALF, NONE, Report, classes, report, variants

# What it claims


def test_better() -> None:
    page = report(of_two(NONE, HALF, FULL))
    assert page.verdict.startswith("The ensemble is better than its best member, large: EM +50.0 ")
    assert re.search(r"points \(95 % interval \+3\d\.\d to \+6\d\.\d\)\. ", page.verdict)
    assert page.verdict.endswith("By EM it won 20 questions and lost 0 of 40.")
    assert "card verdict better" in classes(page, "section")
    assert "An answer takes 0.56 s, large alone 0.31 s: 1.8 times as long." in page.flat


def test_worse() -> None:
    page = report(of_two(FULL, HALF, HALF))
    assert page.verdict.startswith("The ensemble is worse than its best member, small: EM −50.0 ")
    assert "card verdict worse" in classes(page, "section")


def test_it_cannot_be_told() -> None:
    page = report(of_two(NONE, HALF, [*HALF[:-1], 0.0]))
    assert page.verdict == (
        "No difference can be told between the ensemble and its best member, large: "
        "EM −2.5 points (95 % interval −7.5 to 0.0, which includes 0). By EM it won "
        "0 questions and lost 1 of 40."
    )
    assert "card verdict unclear" in classes(page, "section")
    same = report(of_two(NONE, HALF, HALF)).verdict
    assert same.endswith("large: they score the same on every question.")


def test_few_questions_settle_nothing() -> None:
    page = report(of_two(NONE[:12], NONE[:12], FULL[:12]))
    assert "better than its best member, small, on these 12 questions" in page.verdict
    assert "too few to settle it" in page.verdict
    assert "card verdict unclear" in classes(page, "section")
    assert "12 questions only: intervals from fewer than 30 are too narrow." in page.flat
    assert "are too narrow. Ask more" not in report(of_two(NONE, HALF, FULL)).flat


def test_one_question() -> None:
    page = report(of_two([0.0], [0.5], [1.0]))
    assert page.verdict == (
        "One question cannot tell whether the ensemble is better than its best member, large: "
        "EM 100.0 against 50.0."
    )
    assert "1 question, 2 members alone and 1 ensemble." in page.flat
    assert "td better" not in page.flat
    assert not [has for _, has in page.tags if has.get("class") == "mark"]


def test_the_best_of_many_is_no_finding() -> None:
    page = report(variants())
    assert page.verdict.startswith("No difference can be told between the ensemble and")
    assert "2 variants met the same questions. The best of many is favoured by chance" in page.flat
    assert "“τ 0.3” (+50.0)" in page.flat


def test_what_was_chosen_on_other_questions_is_a_finding() -> None:
    found = variants("setting chosen on 9 other questions by EM: τ 0.3 (0.5)")
    page = report(replace(found, systems=found.systems[:4]))
    assert page.verdict.startswith("The ensemble “τ 0.3” is better than its best member, large")
    assert "“τ 0.3” was chosen on other questions" in page.flat
    assert "met the same questions" not in page.flat
    assert "setting chosen on 9 other questions by EM: τ 0.3 (0.5)" in page.flat
    selected = [has["value"] for _, has in page.tags if "selected" in has]
    assert selected == ["3"]


def test_members_alone_are_compared_too() -> None:
    page = report(comparison(*of_two(NONE, HALF, FULL).systems[:2]))
    assert page.verdict.strip() == "Only members by themselves were compared; large does best."


# Tables


def test_scores_are_the_comparisons() -> None:
    found = of_two(NONE, HALF, FULL)
    page = report(found)
    own, against = found.interval(found["large"]), found.difference(found["ensemble"])

    def said(one: Interval, form: str) -> str:
        mean, low, high = (format(100 * value, form) for value in (one.mean, one.low, one.high))
        return f"{mean}{low} to {high}"

    assert said(own, ".1f") in page.flat
    assert f"▲ {said(against, '+.1f')}" in page.flat.replace("▲  ", "▲ ")
    assert "Members alone A small" in page.flat
    assert "Ensembles A B ensemble" in page.flat.replace("AB", "A B")
    assert "10,000 times (seed 7)" in page.flat
    assert re.search(r"Made with Python \d+\.\d+.*, adafuse \d", page.flat)


def test_where_they_differ() -> None:
    right = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 6
    ensemble = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0] * 6
    (_, best, one) = view_systems(of_two([0.0] * 42, right, ensemble))
    assert (one.won, one.lost, one.tied, one.right) == (12, 6, 24, 12)
    assert one.verdicts[:7] == "==-++=="
    assert one.spread == [("won", 28.57), ("tied", 57.14), ("lost", 14.29)]
    assert best.verdicts == "=" * 42
    page = report(of_two([0.0] * 42, right, ensemble))
    assert "ensemble 12 6 24 12 12" in page.flat
    parts = report(of_two([0.5] * 3, [0.2, 0.5, 0.6], [0.9, 0.9, 0.1]))
    assert "both wrong" not in parts.flat


def test_costs_words_and_settings() -> None:
    page = report(variants())
    assert "margin_threshold = 0.3" in page.flat
    assert "A 80 % B 20 %" in page.flat
    assert "6.0 3.00" in page.flat  # tokens, and forwards for each
    bars = [has["style"] for tag, has in page.tags if tag == "i" and has.get("class") == "m2"]
    assert bars == ["width:100.0%"] + ["width:20.0%"] * 3


def test_failures() -> None:
    base = of_two(NONE, HALF, FULL)
    failing = system("ensemble", ("small", "large"), {"EM": FULL}, failed=[0, 3])
    page = report(replace(base, systems=(*base.systems[:2], failing)))
    assert "ensemble: 2 answers failed and scored 0." in page.flat
    assert page.flat.count("Error: The prompt is too long.") == 2
    failed = [has["id"] for has in page.questions() if "data-failed" in has]
    assert failed == ["q1", "q4"]
    every = system("ensemble", ("small", "large"), {"EM": NONE}, failed=range(40))
    assert "40 answers failed" in report(replace(base, systems=(*base.systems[:2], every))).flat


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(odd: float) -> None:
    found = of_two(NONE, HALF, [odd, *FULL[1:]])
    page = report(found)
    assert page.verdict.endswith("large: not all scores are numbers.")
    assert "ensemble: 1 score is no finite number, so there is no mean." in page.flat
    assert not re.search(r"\b(nan|inf)\b", page.flat)
    report(of_two([odd], [odd], [odd]))
    report(of_two([odd] * 3, [odd] * 3, [odd] * 3))


def test_little_is_not_nothing() -> None:
    found = of_two(NONE, NONE, [0.0001] * 40)
    assert "EM +0.01 points (95 % interval +0.01 to +0.01)" in report(found).verdict


scores = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, math.nan, math.inf]),
                  min_size=3, max_size=3)  # fmt: skip


@given(scores)
def test_dots_lie_on_their_axis(given: list[float]) -> None:
    one, two, three = ([score] * 2 for score in given)
    systems = view_systems(of_two(one, two, three))
    best = next(system for system in systems if system.best)
    differences = [system.differences[0] if system.differences else None for system in systems]
    means = [system.means[0] for system in systems]
    for axis in (lay_out(means, best.means[0].mean), lay_out(differences, 0.0)):
        places = [dot.at for dot in axis.dots if dot] + [at for at, _ in axis.ticks]
        assert all(0 <= at <= 100 for at in places)
        assert len(axis.ticks) <= 6
        assert len(axis.dots) == 3


# Files and notebooks


def scripted(folder: Path | None = None) -> Comparison:
    rows = [{"question": f"{n}?", "answers": [f"answer {n}"]} for n in range(4)]
    members = [ScriptedMember(EVIL, "a", confident=False), ScriptedMember("answer 1", "b")]
    return compare(Ensemble(members), rows, metric=lambda answer, row: answer in row["answers"],
                   folder=folder)  # fmt: skip


def test_a_comparison_saves_its_report(tmp_path: Path) -> None:
    found = scripted(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text == report_page(found)
    lines = (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert Report(text).answers == [json.loads(line)["text"] for line in lines]
    assert str(tmp_path) not in text
    again = tmp_path / "again.html"
    assert found.save_report(again) == again
    assert again.read_text(encoding="utf-8") == text
    with pytest.raises(ConfigError, match="no page can be written to"):
        found.save_report(tmp_path / "none" / "report.html")


def test_a_notebook_shows_it_in_a_frame_of_its_own() -> None:
    found = scripted()
    (frame,) = Page(found._repr_html_()).tags
    assert frame[0] == "iframe"
    assert frame[1]["sandbox"] == "allow-scripts"
    inner = str(frame[1]["srcdoc"]).replace('<base href="about:srcdoc">', "", 1)
    assert inner == report_page(found)
