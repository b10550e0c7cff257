"""Special strings of messages, kept apart while a chat template is rendered (DESIGN 3.4).

What a message says must not turn into a control token, and what a template writes must. This module
knows neither templates nor ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["SpecialTokenEscape"]


class SpecialTokenEscape:
    """Special strings of messages, replaced by private-use characters while a template renders.

    No mark is in the `contents`: all messages and tools of the rendering.
    """

    def __init__(self, special: re.Pattern[str] | None, contents: object) -> None:
        self._special = special
        self._kept: list[str] = []
        used = repr(contents)
        # Compared as `repr` spells them, which shows every private-use character as its code.
        self._mark = next(
            mark for code in range(0xE000, 0xF8FF) if repr(mark := chr(code))[1:-1] not in used
        )

    def escape(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of a message or tool without special strings in any of its texts but the role."""
        return {
            key: value if key == "role" else self._replace(value) for key, value in message.items()
        }

    def mark(self, number: int) -> str:
        """A string that is in no message."""
        return f"{self._mark}:{number}{self._mark}"

    def unescape(self, text: str) -> str:
        """Put the strings back."""
        # In one pass from the left: a digit of the template between two of them must not mislead.
        pattern = f"{self._mark}([0-9]+){self._mark}"
        return re.sub(pattern, lambda match: self._kept[int(match[1])], text)

    def _replace(self, value: Any) -> Any:
        if isinstance(value, str) and self._special is not None:
            return self._special.sub(self._keep, value)
        if isinstance(value, Mapping):
            return {self._replace(key): self._replace(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._replace(inner) for inner in value]
        return value

    def _keep(self, match: re.Match[str]) -> str:
        self._kept.append(match.group())
        return f"{self._mark}{len(self._kept) - 1}{self._mark}"
