"""The report of a comparison: what it claims, escaping, every answer, odd numbers, its size."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse import ConfigError, Ensemble
from adafuse.pages import report_page
from adafuse.testing import ScriptedMember
from adafuse.visible import visible
from test_trace_page import luminance
from traces import EVIL, Page

pytest.importorskip("scipy")

from adafuse.compare import Comparison, Interval, compare
from adafuse.pages._plot import view_plot
from adafuse.pages._systems import view_systems
from comparisons import comparison, of_two, question, system

NONE, HALF, FULL = [0.0] * 40, [0.0, 1.0] * 20, [1.0] * 40


class Report(Page):
    """A report read as HTML: its answers, one after the other, and the verdict."""

    def __init__(self, text: str) -> None:
        self.answers: list[str] = []
        self.verdict = ""
        self._inside: dict[str, int] = {}
        super().__init__(text)
        self.flat = " ".join(self.said.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        kind = dict(attrs).get("class") or ""
        if kind == "a":
            self.answers.append("")
        if (tag, kind) == ("div", "exact") or kind == "sentence":
            self._inside[kind] = len(self._open)

    def handle_endtag(self, tag: str) -> None:
        self._inside = {k: depth for k, depth in self._inside.items() if depth < len(self._open)}
        super().handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if "exact" in self._inside:
            self.answers[-1] += data
        if "sentence" in self._inside:
            self.verdict += data

    def questions(self) -> list[dict[str, str | None]]:
        return [has for tag, has in self.tags if tag == "details"]


def report(found: Comparison) -> Report:
    return Report(report_page(found))


def classes(page: Page, tag: str) -> list[str]:
    return [str(has.get("class")) for name, has in page.tags if name == tag]


# What it claims


def test_better() -> None:
    page = report(of_two(NONE, HALF, FULL))
    assert page.verdict.startswith("The ensemble is better than its best member, large: EM +50.0 ")
    assert re.search(r"points \(95 % interval \+3\d\.\d to \+6\d\.\d\)\.$", page.verdict)
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
        "EM −2.5 points (95 % interval −7.5 to 0.0, which includes 0)."
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


def variants(*notes: str) -> Comparison:
    base = of_two(NONE, HALF, HALF)
    more = [
        system("τ 0.3", ("small", "large"), {"EM": FULL}, settings={"margin_threshold": 0.3}),
        system("led", ("small", "large"), {"EM": NONE}, settings={"leader": "small"}),
    ]
    return comparison(*base.systems, *more, notes=notes)


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
    assert one.spread == (("won", 28.57), ("tied", 57.14), ("lost", 14.29))
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
    plot = view_plot(view_systems(of_two(one, two, three)))
    for axis in (plot.means, plot.differences):
        places = [dot.at for dot in axis.dots if dot] + [at for at, _ in axis.ticks]
        assert all(0 <= at <= 100 for at in places)
        assert len(axis.ticks) <= 6
        assert len(axis.dots) == 3


# Questions and answers


def test_every_question_and_answer_is_there() -> None:
    found = variants()
    page = report(found)
    assert page.answers == [
        one.given[at].text for at in range(len(found.questions)) for one in found.systems
    ]
    for at, has in enumerate(page.questions()):
        assert has["id"] == f"q{at + 1}"
        assert f"Question {at}?" in page.flat
        assert f"answer {at}" in page.flat
    # "better than the best member" by system, for filters.
    assert [str(has["data-v"]) for has in page.questions()[:2]] == ["===+=", "-===-"]


def test_a_long_question_is_cut_in_its_line_only() -> None:
    long = "word " * 99 + "end?"
    context = replace(
        question(f"Some context.\n\nQuestion: {long}", "x"), row={"question": "Short?"}
    )
    base = of_two(NONE[:3], NONE[:3], NONE[:3])
    page = report(replace(base, questions=(question(long, "x", "y"), context, question("?", "z"))))
    assert page.said.count(long) == 2
    assert page.flat.count("word…") == 1
    assert page.flat.count("Short?") == 1
    assert "x or y" in page.flat


texts = st.text() | st.text("<>&\"'{}%\n\t \r\0\x1b\u202e\u2066😀a\ud800")


def made(parts: Sequence[str]) -> Comparison:
    name, text, asked, wanted = parts
    one = system(f"a{name}", [f"a{name}"], {f"m{name}": [0.0, 1.0]}, [text, ""])
    two = system("b", ["b"], {f"m{name}": [0.0, 0.0]}, [text, text])
    both = system(f"c{name}", [f"a{name}", "b"], {f"m{name}": [1.0, 1.0]}, ["", text],
                  {"stop": text})  # fmt: skip
    return comparison(one, two, both, notes=[text], questions=[question(asked, wanted)] * 2)


@settings(max_examples=60)
@given(st.tuples(texts, texts, texts, texts))
def test_any_text_is_text(parts: tuple[str, ...]) -> None:
    page = report(made(parts))
    text = visible(parts[1])
    assert page.answers == [text, text, "", "", text, text]
    # What a text holds changes no element of the page.
    plain = report(made([re.sub("[<>&\"'{}%]", "x", part) for part in parts]))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


def test_what_models_write_is_not_obeyed() -> None:
    found = made([EVIL] * 4)
    text = report_page(found, title=EVIL)
    page = Report(text)
    assert [tag for tag, _ in page.tags].count("script") == text.count("<script") == 1
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "base", "a")]
    assert not [name for _, has in page.tags for name in has if name.startswith("on")]
    assert page.answers.count(EVIL) == 4


def test_control_characters_are_seen() -> None:
    text = report_page(made(["\x1b[2J\u202e"] * 4), title="\0")
    for character in "\0\x1b\u202e":
        assert character not in text
    assert "␛[2J‹U+202E›" in text


def test_nothing_leaves_the_page() -> None:
    text = report_page(made(["http://example.com"] * 4))
    page = Page(text)
    (policy,) = [has["content"] for _, has in page.tags if "http-equiv" in has]
    assert str(policy).startswith("default-src 'none'; ")
    for tag, has in page.tags:
        assert not {"src", "srcset", "action", "ping", "background", "data"} & has.keys(), tag
        assert has.get("href") in (None, "data:,")
    assert "url(" not in text
    assert "@import" not in text


def test_a_big_comparison_makes_a_page_of_a_few_megabytes() -> None:
    count = 2000
    bits = [float(at % 3 == 0) for at in range(count)]
    systems = [
        system(name, members, {"EM": bits}, ["An answer of a usual length."] * count)
        for name, members in (("a", ["a"]), ("b", ["b"]), ("both", ["a", "b"]), ("v", ["a", "b"]))
    ]
    began = time.perf_counter()
    text = report_page(comparison(*systems))
    assert len(text.encode()) < 4_000_000
    assert time.perf_counter() - began < 60


def test_colours_of_outcomes_can_be_read() -> None:
    style = report_page(of_two(NONE, HALF, FULL))
    for theme in re.findall(r":root \{(.*?)\}", style, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", theme))
        pairs = [(on, ground, 4.5) for on in ("good", "bad") for ground in ("card", "soft")]
        for on, ground, least in [*pairs, ("edge", "card", 3)]:
            bright, dim = sorted((luminance(colours[on]), luminance(colours[ground])))[::-1]
            assert (bright + 0.05) / (dim + 0.05) >= least, (on, ground)


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
