"""Which tools an answer must call, as callers of other interfaces put it.

Knows no framework and no tools but their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adafuse.errors import ConfigError
from adafuse.validation import refuse_unknown

__all__ = ["read_tool_choice"]

_SAME = {"required": "any"}
_MODES = ("auto", "any", "none")


def read_tool_choice(choice: Any, names: Sequence[str]) -> str:
    """Read a choice: "auto", "any", "none", or the name of a tool.

    Args:
        choice: one of those; None is "auto", "required" and True are "any", False is "none";
            {"type": "function", "function": {"name": …}} and {"type": "tool", "name": …} name one,
            and {"type": "auto"} and the like say the same as the word.
        names: of the tools there are.

    Raises:
        ConfigError: it is of another form, names a tool that is not there, or wants a call where
            there are no tools.
    """
    if choice is None:
        return "auto"
    if isinstance(choice, bool):
        choice = "any" if choice else "none"
    named = False
    if isinstance(choice, Mapping):
        choice, named = _of_mapping(choice)
    if not isinstance(choice, str):
        raise ConfigError(f"tool_choice must be a word, a tool's name or a mapping, not {choice!r}")
    if choice not in names and not named:
        choice = _SAME.get(choice, choice)
    if choice not in ("auto", "none") and not names:
        raise ConfigError(f"tool_choice {choice!r} needs tools")
    known = names if named else (*_MODES, *names)
    refuse_unknown("tool_choice", {choice: None}, list(known))
    return str(choice)


def _of_mapping(choice: Mapping[str, Any]) -> tuple[Any, bool]:
    """The word or name in a mapping, and whether it is a name."""
    function = choice.get("function")
    if isinstance(function, Mapping) and "name" in function:
        return function["name"], True
    if "name" in choice:
        return choice["name"], True
    if choice.get("type") in (*_MODES, *_SAME):
        return choice["type"], False
    raise ConfigError(f"tool_choice {dict(choice)!r} names no tool; use {{'type': 'function', …}}")
