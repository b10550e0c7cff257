"""Questions and answers in the report of a comparison: every one, escaped, whatever it holds."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse.pages import report_page
from adafuse.text.escaping import visible
from made_answers import EVIL, Page
from report_reader import luminance

pytest.importorskip("scipy")

from adafuse.compare import Comparison
from made_comparisons import comparison, of_two, question, system
from report_reader import FULL, HALF, NONE, Report, report, variants


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


@settings(max_examples=60, deadline=None)  # the first page imports scipy
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
