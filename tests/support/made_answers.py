"""Answers made by hand, for pages: of any text, any number of members, every kind of round.

And a page read as HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

from adafuse import Answer, Candidate, MemberUsage, Round

EVIL = "<script>window.hacked = 1</script></script><img src=x onerror='hacked = 1'> & \"q\" <!--"
CELLS = {"td", "th", "dt", "dd", "b", "bdi"}
VOID = {"meta", "link", "input", "wbr"}
USAGE = MemberUsage(
    12, 8, 5, 40, {"prefill": 0.1, "draft": 1.25, "score": 0.5, "commit": 0.0}, weight=0.5
)


def candidate(text: str, *drafters: str, ends: bool = False, **scores: float) -> Candidate:
    """A candidate; its score is the mean of what it was given."""
    score = sum(scores.values()) / len(scores) if scores else None
    return Candidate(text, ends, (text,) if text else (), drafters, scores, score)


def unanimous(text: str, *members: str, ends: bool = False) -> Round:
    """A round in which all drafted the same."""
    return Round(
        index=1, text=text, words=(text,) if text else (), ends=ends, member=members[0],
        drafters=members, candidates=(candidate(text, *members, ends=ends),), winner=0,
        margins=dict.fromkeys(members, (0.9,)), confident=True, unanimous=True, scored=False,
    )  # fmt: skip


def scored(text: str, other: str, *members: str, confident: bool = False) -> Round:
    """A round in which the first member's text won over the last one's."""
    first, last = members[0], members[-1]
    pool = (
        candidate(other, last, **dict.fromkeys(members, 2.5)),
        candidate(text, first, **dict.fromkeys(members, 1.25)),
    )
    margins = dict.fromkeys(members, (0.95, 0.8 if confident else 0.125))
    one = unanimous(text, first)
    return replace(
        one, candidates=pool, winner=1, margins=margins, confident=confident, unanimous=False,
        scored=True,
    )  # fmt: skip


def forced(text: str) -> Round:
    """A round that the grammar wrote."""
    one = unanimous(text, "nobody")
    return replace(
        one, member="", drafters=(), candidates=(candidate(text),), margins={}, unanimous=False,
        forced=True,
    )  # fmt: skip


def answer(rounds: Sequence[Round], *members: str) -> Answer:
    """An answer of these rounds, numbered."""
    done = [replace(one, index=at) for at, one in enumerate(rounds, 1)]
    usage = dict.fromkeys(members, USAGE)
    done[-1] = replace(done[-1], finish_reason="stop", usage=usage)
    return Answer.fold(done)


def every_kind(text: str = " one") -> Answer:
    """An answer with every kind of round; the text is in all of them."""
    infinite = scored(text, f"{text} two", "a", "b")
    pool = tuple(
        replace(one, scores={"a": 1.5, "b": math.inf}, score=math.inf)
        for one in infinite.candidates
    )
    nothing = replace(
        unanimous("", "a"), member="", drafters=(), candidates=(), winner=-1, margins={},
        unanimous=False,
    )  # fmt: skip
    rounds = [
        unanimous(f"Well,{text}", "a", "b"),
        scored(text, " x", "b", "a", confident=True),
        scored(f"{text}\n\n", "", "a", "b"),
        replace(infinite, candidates=pool, left_out=("b",)),
        forced(text),
        replace(scored(text, "", "a", "b"), rule="words"),
        unanimous("\n\t", "a", "b"),
        unanimous("", "b", ends=True),
        replace(unanimous(text, "a"), text="", words=()),
        nothing,
    ]
    return answer(rounds, "a", "b")


class Page(HTMLParser):
    """What a page holds, read as HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[dict[str, str | None]] = []
        self.answer = ""
        self.texts: dict[str, str] = {}  # of each round of the list
        self.said = ""
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        self.tags.append((tag, has))
        if tag in CELLS:
            self.handle_data(" ")
        if tag == "a" and self._within("answer"):
            self.words.append(has)
        if tag not in VOID:
            self._open.append((tag, has.get("id") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._within("answer"):
            self.answer += data
        for _, name in self._open:
            if re.fullmatch(r"r\d+", name):
                self.texts[name] = self.texts.get(name, "") + data
        if not any(tag in ("style", "script") for tag, _ in self._open):
            self.said += data

    def _within(self, name: str) -> bool:
        return any(one == name for _, one in self._open)
