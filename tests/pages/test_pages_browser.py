"""Pages in a real browser: silent, offline, readable at every width, and usable by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from adafuse import Answer
from browser import Tab
from made_answers import EVIL, answer, every_kind, scored, unanimous

WIDTHS = {"desktop": 1280, "tablet": 800, "phone": 390, "small": 320}
SHOWN = "document.getElementById('shown').innerText"
FOCUS = "document.activeElement.id"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A short answer of every kind."""
    return every_kind().save_trace(tmp_path / "page.html")


def long_answer() -> Answer:
    members = [f"organisation/a-model-of-a-rather-long-name-{at}" for at in range(8)]
    rounds = [scored(f" word{at}", " another", *members) for at in range(300)]
    rounds += [unanimous("x" * 500, members[0]), unanimous(f"\n\t{EVIL}", *members)]
    return answer(rounds, *members)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_a_page_is_silent_and_fits(tab: Tab, tmp_path: Path, width: int, dark: bool) -> None:
    one = long_answer()
    page = one.save_trace(tmp_path / "long.html", prompt=EVIL * 9, title=EVIL)
    tab.open(page, width, 800, dark=dark)
    tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    tab.shows(f"document.documentElement.scrollWidth <= {width}")
    tab.point("#w2", click=True)
    tab.says(SHOWN, "Round 2")
    tab.shows(f"document.documentElement.scrollWidth <= {width}")
    assert tab.complaints() == []
    assert tab.requests() == [page.as_uri()]
    tab.shows("document.getElementById('answer').textContent", one.text)
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(18, 20, 23)") == dark


def test_what_models_write_stays_text(tab: Tab, tmp_path: Path) -> None:
    one = every_kind(f" {EVIL}")
    page = one.save_trace(tmp_path / "evil.html", prompt=EVIL, title=EVIL)
    tab.open(page)
    tab.shows("typeof window.hacked", "undefined")
    tab.shows("document.scripts.length", 1)
    tab.shows("document.images.length", 0)
    tab.shows("document.getElementById('answer').textContent", one.text)
    assert tab.run("document.title").split() == EVIL.split()
    assert tab.complaints() == []
    # Nor would the policy run, or ask for, what was not escaped.
    tab.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"hacked = 1\">')")
    tab.run("{ const one = document.createElement('script'); one.text = 'hacked = 1';"
            " document.body.append(one) }")  # fmt: skip
    tab.shows("typeof window.hacked", "undefined")
    assert tab.requests() == [page.as_uri()]


def test_a_copy_is_the_answer(tab: Tab, page: Path) -> None:
    """Letters and marks are no part of it."""
    tab.open(page)
    tab.run("getSelection().selectAllChildren(document.getElementById('answer'))")
    assert tab.run("getSelection().toString()").rstrip() == every_kind().text.rstrip()


def test_by_keyboard(tab: Tab, page: Path) -> None:
    tab.open(page)
    for _ in range(9):
        tab.press("Tab")
        if tab.run(FOCUS) == "w1":
            break
    tab.shows(FOCUS, "w1")
    tab.says(SHOWN, "Round 1")
    tab.press("ArrowRight")
    tab.shows(FOCUS, "w2")
    tab.says(SHOWN, "Round 2")
    tab.press("End")
    tab.shows(FOCUS, "w10")
    tab.press("ArrowRight")
    tab.shows(FOCUS, "w10")
    tab.press("Home")
    tab.press("ArrowLeft")
    tab.shows(FOCUS, "w1")
    for key in ("Enter", " "):
        tab.press("ArrowRight")
        chosen = tab.run(FOCUS)
        tab.press(key)
        tab.shows(FOCUS, "panel")
        tab.press("Escape")
        tab.shows(FOCUS, chosen)
        tab.says(SHOWN, "Point at a word")
    # All words are one stop.
    tab.press("Tab")
    tab.shows("document.getElementById('answer').contains(document.activeElement)", False)


def test_by_mouse(tab: Tab, page: Path) -> None:
    tab.open(page)
    tab.point("#w3")
    tab.says(SHOWN, "Round 3")
    tab.point("h1")
    tab.says(SHOWN, "Point at a word")
    tab.point("#w2", click=True)
    tab.point("#w3")
    tab.says(SHOWN, "Round 3")
    tab.point("h1")
    tab.says(SHOWN, "Round 2")
    tab.shows("[...document.querySelectorAll('.on')].map((one) => one.id)", ["w2"])
    tab.point("#contested", click=True)
    tab.says(SHOWN, "Round 3")
    tab.point("#previous", click=True)
    tab.says(SHOWN, "Round 2")
    tab.point("#w1", click=True)
    tab.says(SHOWN, "Round 1")
    tab.shows("document.getElementById('previous').disabled")
    tab.point("#close", click=True)
    tab.says(SHOWN, "Point at a word")


def test_on_a_phone_a_sheet_opens_over_the_page(tab: Tab, tmp_path: Path) -> None:
    tab.open(long_answer().save_trace(tmp_path / "long.html"), 390, 844)
    height = "document.getElementById('panel').getBoundingClientRect().height"
    tab.shows(height, 0)
    tab.run("document.getElementById('w200').scrollIntoView({ block: 'end' })")
    tab.point("#w200", click=True)
    tab.shows(f"100 < {height} && {height} < 600")
    # The word is not under it.
    top = "document.getElementById('panel').getBoundingClientRect().top"
    tab.shows(f"document.getElementById('w200').getBoundingClientRect().bottom <= {top}")
    tab.point("#close", click=True)
    tab.shows(height, 0)


def test_without_script_words_lead_to_the_list_of_rounds(tab: Tab, page: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(page)
        tab.shows("document.getElementById('panel').hidden")
        tab.shows("document.getElementById('all').open", False)
        tab.point("#w4", click=True)
        tab.shows("document.querySelector(':target').id", "r4")
        tab.shows("document.getElementById('all').open")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_in_a_notebook(tab: Tab, tmp_path: Path) -> None:
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!DOCTYPE html><title>n</title>{every_kind(EVIL)._repr_html_()}", "utf-8")
    tab.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
    tab.open(notebook)
    tab.shows("document.querySelector('iframe').offsetHeight > 400")
    tab.shows("typeof window.hacked", "undefined")
    assert tab.complaints() == []
    assert tab.requests() == [notebook.as_uri()]
    with tab.inside() as frame:
        frame.run("document.getElementById('w2').click()")
        frame.says(SHOWN, "Round 2")
        # Links stay in the frame, also without the script.
        frame.shows("document.getElementById('w2').href", "about:srcdoc#r2")
