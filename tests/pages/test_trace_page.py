"""The trace of an answer: exact text, escaping, kinds, figures, and what must not leave a page."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adafuse import Answer, Candidate, ConfigError, Ensemble, Loss, MemberUsage
from adafuse.pages import trace_page
from adafuse.testing import ScriptedMember
from adafuse.text.escaping import visible
from adafuse_integrations._shared.trace import answer_info, read_answer, round_info
from made_answers import EVIL, USAGE, Page, answer, every_kind, forced, scored, unanimous
from report_reader import luminance
from watched_members import CODE


def generated(*answers: str, **settings: int) -> Answer:
    members = [
        ScriptedMember(text, f"m{at}", confident=at % 2 == 1, nll=1.0 + at)
        for at, text in enumerate(answers)
    ]
    return Ensemble(members).generate("prompt", **settings)


# Text


@pytest.mark.parametrize(
    "one",
    [
        generated(CODE, CODE),
        generated(CODE, "something else"),
        generated(*[CODE] * 8),
        generated("one"),
        generated(""),
        generated(CODE, max_new_tokens=9),
        generated("a </b> STOP c", "a </b> STOP c", stop=("STOP",)),  # type: ignore[arg-type]
        every_kind(" it's <b>&amp;"),
    ],
    ids=lambda one: repr(one.text[:12]),
)
def test_the_words_are_the_answer(one: Answer) -> None:
    page = Page(trace_page(one))
    assert page.answer == one.text
    assert len(page.words) == len(page.texts) == len(one.rounds)
    for at, (word, said) in enumerate(zip(page.words, page.texts.values(), strict=True), 1):
        assert (word["id"], word["href"]) == (f"w{at}", f"#r{at}")
        assert said.strip().startswith(f"Round {one.rounds[at - 1].index} ")


texts = st.lists(st.text() | st.text("<>&\"'{}%\n\t \r\0\x1b\u202e😀a"), min_size=1, max_size=5)


@given(texts)
def test_any_text_is_text(parts: list[str]) -> None:
    def made(parts: list[str]) -> Page:
        names = [f"{at}{part}" for at, part in enumerate(parts)]
        rounds = [
            scored(part, f"{part}!", name, "b") for part, name in zip(parts, names, strict=True)
        ]
        usage = {name: replace(USAGE, losses=(Loss(name, name),)) for name in (*names, "b")}
        one = replace(answer(rounds), usage=usage)
        prompt = [{"role": part, "content": part} for part in parts]
        return Page(trace_page(one, prompt=prompt, title=parts[0]))

    page = made(parts)
    assert page.answer == visible("".join(parts))
    # What a text holds changes no element of the page.
    plain = made([re.sub("[<>&\"'{}%]", "x", part) for part in parts])
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]


def test_what_models_write_is_not_obeyed() -> None:
    one = replace(every_kind(f" {EVIL}"), usage={f"a{EVIL}": USAGE, "b": USAGE})
    text = trace_page(one, prompt=EVIL, title=EVIL)
    page = Page(text)
    assert page.answer == one.text
    assert [tag for tag, _ in page.tags].count("script") == text.count("<script") == 1
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "base")]
    assert not [name for _, has in page.tags for name in has if name.startswith("on")]
    assert page.said.count(EVIL) > 10


def test_control_characters_are_seen() -> None:
    steering = "\0\x07\x1b[2J\r\x7f\x9b\u202edesrever\u2066"
    page = Page(trace_page(every_kind(f" {steering}")))
    shown = "␀␇␛[2J␍\ufffd\ufffd‹U+202E›desrever‹U+2066›"
    assert page.answer.startswith(f"Well, {shown}")
    assert shown in page.texts["r2"]
    for character in "\0\x07\x1b\r\x7f\x9b\u202e\u2066":
        assert character not in trace_page(every_kind(steering), prompt=steering, title=steering)
    # Joiners and marks of direction spell words.
    assert (
        Page(trace_page(every_kind("می‌خواهم \u200f👩‍🚀"))).answer.count("می‌خواهم \u200f👩‍🚀") == 6
    )


def test_candidates_show_what_is_not_seen() -> None:
    one = answer([scored(" a\n\tb\u00a0c", "", "a"), unanimous("", "a", ends=True)], "a")
    first, last = Page(trace_page(one)).texts.values()
    assert "·a↵⇥b‹U+00A0›c" in first
    assert "empty" in first
    assert "nothing ■ ends" in last


# What leaves a page


def test_nothing_leaves_the_page() -> None:
    text = trace_page(every_kind(EVIL), prompt="http://example.com")
    page = Page(text)
    (policy,) = [has["content"] for _, has in page.tags if "http-equiv" in has]
    assert str(policy).startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in str(policy)
    for tag, has in page.tags:
        assert not {"src", "srcset", "action", "ping", "background", "data"} & has.keys(), tag
        link = has.get("href")
        assert link is None or re.fullmatch(r"data:,|#r\d+", link), link
    assert "url(" not in text
    assert "@import" not in text


# Kinds and members


def test_every_kind_of_round_is_told_apart() -> None:
    page = Page(trace_page(every_kind()))
    kinds = [str(word["class"]).split()[1] for word in page.words]
    assert kinds == [
        "unanimous", "confident", "contested", "contested", "forced", "contested",
        "unanimous",
        "unanimous", "unanimous", "nothing",
    ]  # fmt: skip
    # In words too, for those who do not see it.
    names = {has["id"] for _, has in page.tags if has.get("id")}
    for word, kind in zip(page.words, kinds, strict=True):
        described = str(word["aria-describedby"]).split()
        assert described[-1] == f"k-{kind}"
        assert set(described) <= names
    assert [word.get("aria-label") for word in page.words[6:]] == [
        "whitespace", "end of the answer", "text that was cut off", "nothing drafted",
    ]  # fmt: skip
    plain = Page(trace_page(answer([unanimous("a", "a")], "a")))
    listed = [str(has["id"]) for _, has in plain.tags if str(has.get("id")).startswith("k-")]
    assert listed == ["k-unanimous", "k-confident", "k-contested"]


def test_a_round_of_words_tells_probabilities_shares_and_the_end() -> None:
    pool = (
        Candidate(" a", False, (" a",), ("a",), {"a": 0.25, "b": 3.0}, 0.882),
        Candidate("", True, (), ("b",), {"a": 2.0, "b": 0.5}, 0.992),
    )
    usage = {name: replace(USAGE, weight=0.5) for name in "ab"}
    one = replace(scored(" a", "", "a", "b"), rule="words", candidates=pool)
    done = answer([one, unanimous("", "a", ends=True)], "a", "b")
    last = replace(done.rounds[-1], usage=usage)
    text = Page(trace_page(Answer.fold([done.rounds[0], last]))).texts["r1"]
    assert "Probability" in text
    assert "41.4 %" in text  # exp(-0.882)
    assert f"77.9 % ({100 * 0.5 * math.exp(0.882 - 0.25):.0f})" in text
    assert "END ■ ends" in text


def test_members_have_letters_and_colours() -> None:
    names = [f"org/m{at}" for at in range(10)]
    one = answer([unanimous(f" {name}", name) for name in names], *names)
    page = Page(trace_page(one))
    styles = [str(word["class"]).split()[-1] for word in page.words]
    assert styles == [f"m{at % 8 + 1}" for at in range(10)]
    assert [word["data-l"] for word in page.words] == list("ABCDEFGHIJ")
    same = Page(trace_page(answer([unanimous(" a", "a"), forced(" b"), unanimous(" c", "a")], "a")))
    assert [word.get("data-l") for word in same.words] == ["A", None, "A"]
    assert "m1" not in str(same.words[1]["class"])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_every_ground(theme: int) -> None:
    style = trace_page(every_kind())
    found = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", found[theme]))
    tints = [f"t{at}" for at in range(1, 9)]
    pairs = [
        (on, ground) for on in ("ink", "muted") for ground in ("paper", "card", "soft", *tints)
    ]
    pairs += [(f"m{at}", ground) for at in range(1, 9) for ground in ("card", "soft", f"t{at}")]
    pairs += [("ink", "lit"), ("accent", "card"), ("good", "soft")]
    for on, ground in pairs:
        bright, dim = sorted((luminance(colours[on]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (on, ground)


def test_rounds_tell_scores_margins_and_who_was_left_out() -> None:
    texts = Page(trace_page(every_kind())).texts
    words = texts["r3"].split()
    assert "1.250" in words
    assert words.index("1.250") < words.index("2.500")  # lowest first
    assert "0.950, 0.125" in texts["r3"]
    assert texts["r4"].count("∞") == 4
    assert "Left out, as its numbers were not finite: B b" in " ".join(texts["r4"].split())
    assert "cut" in texts["r9"]
    assert "Candidate" not in texts["r1"] + texts["r5"]


def test_a_member_that_has_no_score_has_a_dash() -> None:
    one = scored(" a", " b", "a", "b")
    pool = tuple(replace(candidate, scores={"a": 1.0}) for candidate in one.candidates)
    page = Page(trace_page(answer([replace(one, candidates=pool)], "a", "b")))
    assert page.texts["r1"].count("–") == 2


def test_totals() -> None:
    lossy = replace(USAGE, losses=(Loss("naïve", "naive"),), replaced_characters=2, weight=None)
    left_out = replace(USAGE, rounds_left_out=3, reused_tokens=7)
    said = Page(trace_page(replace(every_kind(), usage={"a": lossy, "b": left_out}))).said
    flat = " ".join(said.split())
    assert "2 members, 10 rounds; ended by itself" in flat
    assert "tokens read per committed token 3.50" in flat
    assert "seconds, all members 3.70" in flat
    assert "words prompt reused committed forwards read prefill draft score commit seconds" in flat
    assert "B b 0.500 1 12 7 8 5 40 0.10 1.25 0.50 0.00 1.85" in flat
    assert "drafted bytes that are no UTF-8, 2 times" in flat
    assert "left out of 3 rounds: numbers not finite" in flat
    assert "A a cannot hold these texts exactly Text It reads naïve naive" in flat


def test_margins_that_are_no_numbers() -> None:
    one = replace(unanimous("a", "a", "b"), margins={"a": (float("nan"),), "b": ()})
    page = Page(trace_page(answer([one], "a", "b")))
    assert page.texts["r1"].count("–") == 2


def test_an_answer_without_anything() -> None:
    page = Page(trace_page(Answer("", (), "length", {})))
    assert "The answer is empty." in page.said
    assert "cut at the length limit" in page.said
    none = MemberUsage(1, 0, 1, 1, {})
    assert "–" in Page(trace_page(Answer("", (), "length", {"a": none}))).said


def test_long_answers_make_small_pages() -> None:
    """Also of four members that never agree, each with three branches."""
    members = [f"org/member-{at}" for at in range(4)]
    rounds = [scored(f" word{at}", " other", *members) for at in range(600)]
    pool = tuple(rounds[0].candidates[at % 2] for at in range(12))
    rounds = [replace(one, candidates=pool) for one in rounds]
    assert len(trace_page(answer(rounds, *members)).encode()) < 3_000_000


# Prompts, files, notebooks


def test_prompts_are_shown() -> None:
    one = every_kind()
    assert "Prompt" not in Page(trace_page(one)).said
    assert " raw\ntext " in Page(trace_page(one, prompt=" raw\ntext ")).said
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    chat = [
        {"role": "system", "content": "Be <brief>."},
        {"role": "user", "content": [{"type": "text", "text": "Ärger?"}]},
        {"role": "assistant", "tool_calls": [call]},
    ]
    said = Page(trace_page(one, prompt=chat)).said
    assert "Be <brief>." in said
    assert '"text": "Ärger?"' in said
    assert '"name": "look"' in said


def test_a_trace_is_saved(tmp_path: Path) -> None:
    one = generated(CODE, CODE)
    path = tmp_path / "answer.html"
    path.write_text("something longer" * 99_999)
    assert one.save_trace(str(path), prompt="Why?", title="Because") == path
    assert path.read_bytes().decode() == trace_page(one, prompt="Why?", title="Because")
    for wrong in (tmp_path / "none" / "answer.html", tmp_path):
        with pytest.raises(ConfigError, match="no page can be written to"):
            one.save_trace(wrong)


def test_a_notebook_shows_it_in_a_frame_of_its_own() -> None:
    one = every_kind(EVIL)
    html = one._repr_html_()
    (frame,) = Page(html).tags
    assert frame[0] == "iframe"
    assert frame[1]["sandbox"] == "allow-scripts"
    inner = str(frame[1]["srcdoc"]).replace('<base href="about:srcdoc">', "", 1)
    assert inner == trace_page(one)


def test_an_answer_read_back_looks_the_same() -> None:
    one = generated(CODE, "something else")
    info = answer_info([round_info(each) for each in one.rounds], one.rounds[-1])
    assert trace_page(read_answer(info)) == trace_page(one)
