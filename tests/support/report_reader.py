"""A report read as HTML, for its tests."""

from __future__ import annotations

from adafuse.compare import Comparison
from adafuse.pages import report_page
from made_answers import Page
from made_comparisons import comparison, of_two, system

__all__ = ["FULL", "HALF", "NONE", "Report", "classes", "report", "variants"]

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


def variants(*notes: str) -> Comparison:
    base = of_two(NONE, HALF, HALF)
    more = [
        system("τ 0.3", ("small", "large"), {"EM": FULL}, settings={"margin_threshold": 0.3}),
        system("led", ("small", "large"), {"EM": NONE}, settings={"rule": "paper"}),
    ]
    return comparison(*base.systems, *more, notes=notes)


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
