"""Traces and reports show any text, and obey none: no script, no markup, nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse import Answer, Dropped
from adafuse.pages import report_page, trace_frame, trace_page
from made_answers import EVIL, USAGE, every_kind, scored, unanimous
from made_comparisons import comparison, question, system

HOSTILE = [
    EVIL,
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "</title><base href=//evil.example>",
    "<!--<script>",
    "]]><script>",
    "&lt;script&gt;",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "{{ 7 * 191 }}{% raw %}",
    "\u202e\x00<b>\u2028\u2029",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "a;}</style>*{background:url(//evil.example)}",
]


class Seen(HTMLParser):
    """What a browser would obey in a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.styles: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ("href", "src", "action", "srcdoc", "xlink:href", "formaction"):
                self.links.append(value or "")
            if name == "style":
                self.styles.append(value or "")


def obeyed(page: str) -> tuple[int, set[str]]:
    """Check a page; how many scripts it has, and which tags."""
    seen = Seen(page)
    assert not seen.handlers
    assert all(link.startswith("#") or link == "data:," for link in seen.links), seen.links
    assert not any("url(" in style or "}" in style for style in seen.styles)
    assert "default-src 'none'" in page
    return seen.tags.count("script"), set(seen.tags)


def answer(text: str, name: str) -> Answer:
    """An answer in which a text is in every place that holds one."""
    other = f"{name}2"
    lost = Dropped(other, 1, "draft", text)
    rounds = (
        replace(unanimous(text, name, other), dropped=(lost,)),
        scored(text, f"{text}!", name, other),
        replace(scored("b", text, name, other), left_out=(other,)),
    )
    usage = {name: USAGE, other: USAGE}
    numbered = [replace(one, index=at) for at, one in enumerate(rounds, 1)]
    numbered[-1] = replace(numbered[-1], finish_reason="stop", usage=usage)
    return Answer("".join(one.text for one in numbered), tuple(numbered), "stop", usage)


def plain() -> tuple[int, set[str]]:
    return obeyed(trace_page(answer("word", "member"), prompt="prompt", title="title"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_trace_obeys_no_text(text: str) -> None:
    page = trace_page(answer(text, "member"), prompt=text, title=text)
    scripts, tags = obeyed(page)
    assert scripts == plain()[0] == 1
    assert tags <= plain()[1] | {"s", "wbr", "br"}
    assert "1337" not in page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_trace_obeys_no_name_of_a_member(name: str) -> None:
    scripts, tags = obeyed(trace_page(answer("word", name), prompt="prompt", title="title"))
    assert scripts == 1
    assert tags <= plain()[1] | {"s", "wbr", "br"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_conversation_is_shown_and_not_obeyed(text: str) -> None:
    chat = [{"role": "system", "content": text}, {"role": "user", "content": text}]
    assert obeyed(trace_page(answer("word", "m"), prompt=chat))[0] == 1


def report(text: str, name: str) -> tuple[int, set[str]]:
    """What is obeyed of a report with a text in every place, and a name of members and systems."""
    names = (name, f"{name}2")
    scores = [{"EM": [0.0, 1.0] * 10}, {"EM": [1.0, 0.0] * 10}, {"EM": [1.0] * 20}]
    found = comparison(
        system(name, names[:1], scores[0], [text] * 20, {"stop": [name]}),
        system(f"{name}2", names[1:], scores[1], [f"{text}!"] * 20),
        system("ensemble", names, scores[2], [text] * 20, {"stop": (text,)}),
        notes=[text],
        questions=[question(f"{text} {at}", text) for at in range(20)],
    )
    return obeyed(report_page(found, title=text))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_obeys_no_text(text: str) -> None:
    scripts, tags = report(text, "member")
    plain_scripts, plain_tags = report("word", "member")
    assert scripts == plain_scripts
    assert tags <= plain_tags | {"s", "wbr", "br"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_report_obeys_no_name(name: str) -> None:
    scripts, tags = report("word", name)
    plain_scripts, plain_tags = report("word", "member")
    assert scripts == plain_scripts
    assert tags <= plain_tags | {"s", "wbr", "br"}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_notebooks_frame_holds_the_page_and_nothing_gets_out(text: str) -> None:
    frame = trace_frame(answer(text, text))
    seen = Seen(frame)
    assert seen.tags == ["iframe"]
    assert not seen.handlers
    assert re.search(r'sandbox="allow-scripts"', frame)


@settings(max_examples=60)
@given(st.text(st.sampled_from("<>\"'&;/=!- \n\ta{}%#`\x00"), max_size=30))
def test_no_text_of_markups_own_characters_is_obeyed(text: str) -> None:
    scripts, tags = obeyed(trace_page(answer(text, f"m{text}"), prompt=text or "x", title=text))
    assert scripts == 1
    assert tags <= plain()[1] | {"s", "wbr", "br"}


def test_every_kind_of_round_obeys_nothing() -> None:
    assert obeyed(trace_page(every_kind(EVIL)))[0] == 1


@pytest.mark.parametrize(
    "part", ["<b onclick='x'>", "<a href='javascript:x'>", "<i style='}'>", "<img src=//evil>"]
)
def test_the_check_sees_what_is_obeyed(part: str) -> None:
    page = trace_page(answer("word", "member"))
    obeyed(page)
    with pytest.raises(AssertionError):
        obeyed(page.replace("</body>", f"{part}</body>"))
