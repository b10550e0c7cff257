"""Turns a template and plain values into one HTML page that loads nothing and leaks nothing.

Everything is escaped on its way in; what a page is about, this module does not know.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from pathlib import Path
from typing import Any

import regex
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from adafuse.errors import ConfigError
from adafuse.text.escaping import code_point, visible

__all__ = ["frame", "number", "percent", "plural", "render", "write"]

# Whitespace, and format characters but for the joiners and tags that spell letters and emoji.
_UNSEEN = regex.compile(r"([\s\p{Z}\p{Cf}--[\u200c\u200d\U000e0020-\U000e007f]])", regex.V1)
_MARKS = {" ": "·", "\n": "↵", "\t": "⇥"}


def number(value: float | None, digits: int = 0) -> str:
    """A figure with that many decimals; "–" where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value + 0.0:,.{digits}f}".replace("-", "−")


def percent(count: int, total: int) -> float:
    """A share of a whole; 0 of nothing."""
    return round(100 * count / total, 2) if total else 0.0


def plural(count: int, what: str) -> str:
    """Such as "1 question" and "2,000 questions"."""
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def _marked(text: str) -> Markup:
    """The text on one line, its whitespace as marks; `<s>` says that a mark is not the text."""
    parts = [
        # A long span breaks behind its spaces.
        f"<s>{_MARKS.get(part) or code_point(part)}</s><wbr>" if at % 2 else escape(part)
        for at, part in enumerate(_UNSEEN.split(visible(text)))
    ]
    return Markup("".join(parts))  # noqa: S704 - escaped part by part


_PACKAGE = Path(__file__).parents[1]
_ENVIRONMENT = Environment(
    loader=FileSystemLoader([_PACKAGE / "pages/templates", _PACKAGE / "compare/report/templates"]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"marked": _marked, "visible": visible, "number": number, "plural": plural}


def render(template: str, script: str, **values: Any) -> str:
    """Render a page with its script, the only one that its policy allows to run."""
    assert _ENVIRONMENT.loader is not None
    source = _ENVIRONMENT.loader.get_source(_ENVIRONMENT, script)[0]
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    page = _ENVIRONMENT.get_template(template)
    return page.render(script=Markup(source), script_digest=digest, **values)  # noqa: S704 - our own


def frame(page: str, title: str) -> str:
    """The page as an element of another one, such as a notebook: neither can touch the other."""
    # Links within the page would else lead to the other one; ahead of the policy, which forbids it.
    page = page.replace("<head>", '<head><base href="about:srcdoc">', 1)
    return (
        f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(title)}" '
        'sandbox="allow-scripts" style="display:block;width:100%;height:40rem;max-height:90vh;'
        'border:1px solid #8885;border-radius:8px;resize:vertical"></iframe>'
    )


def write(page: str, path: str | Path) -> Path:
    """Write a page, over what was there."""
    try:
        Path(path).write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"no page can be written to {str(path)!r}: {reason}") from error
    return Path(path)
