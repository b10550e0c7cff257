"""Which tools an answer must call: as the core takes it, and as callers of other interfaces put it.

Knows no framework and no tools but their names.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from adafuse.errors import ConfigError
from adafuse.tools.partial_json import load_json
from adafuse.validation import refuse_unknown, show

__all__ = [
    "check_tool_choice",
    "goes_round",
    "read_tool_choice",
    "settled_choice",
    "without_repeats",
]

M = TypeVar("M", bound=Mapping[str, Any])
_SAME = {"required": "any"}
_MODES = ("auto", "any", "none")


def check_tool_choice(choice: object, names: Sequence[str]) -> str:
    """The choice of a core call: "auto" (or None), "any" (or "required"), "none", or a tool's name.

    ConfigError where it is no string, names a tool that is not there, or wants a call where there
    are no tools.
    """
    if choice is None:
        return "auto"
    if not isinstance(choice, str):
        raise ConfigError(f"tool_choice must be a string, not {show(choice)}")
    mode = choice if choice in names else _SAME.get(choice, choice)
    if mode in ("auto", "none"):
        return mode
    return _checked(mode, names, _MODES)


def read_tool_choice(choice: Any, names: Sequence[str]) -> str:
    """Read the choice of another interface; `check_tool_choice` says what it may be.

    It may also be True for "any" and False for "none"; {"type": "function", "function": {"name":
    …}} and {"type": "tool", "name": …} name a tool, and {"type": "auto"} and the like say the same
    as the word. ConfigError for what is of another form.
    """
    named = False
    if isinstance(choice, bool):
        choice = "any" if choice else "none"
    elif isinstance(choice, Mapping):
        choice, named = _of_mapping(choice)
    if not isinstance(choice, str | None):
        raise ConfigError(f"tool_choice must be a word, a tool's name or a mapping, not {choice!r}")
    return _checked(str(choice), names) if named else check_tool_choice(choice, names)


def _of_mapping(choice: Mapping[str, Any]) -> tuple[Any, bool]:
    """The word or name in a mapping, and whether it is a name."""
    kind, function = choice.get("type", "function"), choice.get("function")
    if isinstance(kind, str) and kind in (*_MODES, *_SAME):
        refuse_unknown("field of tool_choice", choice, ("type",))
        return kind, False
    if kind in ("function", "tool"):
        if isinstance(function, Mapping) and "name" in function:
            refuse_unknown("field of tool_choice", choice, ("type", "function"))
            refuse_unknown("field of tool_choice.function:", function, ("name",))
            return function["name"], True
        if "name" in choice:
            refuse_unknown("field of tool_choice", choice, ("type", "name"))
            return choice["name"], True
    raise ConfigError(f"tool_choice {dict(choice)!r} names no tool; use {{'type': 'function', …}}")


def _checked(choice: str, names: Sequence[str], modes: Sequence[str] = ()) -> str:
    if not names:
        raise ConfigError(f"tool_choice {choice!r} needs tools")
    choices = (*modes, *names)
    if choice not in choices:
        near = difflib.get_close_matches(choice, choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
        raise ConfigError(f"unknown tool_choice {choice!r}; {hint}")
    return choice


def settled_choice(choice: str, messages: Sequence[Mapping[str, Any]], guard: bool) -> str:
    """The choice of an answer to a conversation: with the guard, calls that go round are over."""
    return "none" if guard and choice == "auto" and goes_round(messages) else choice


def goes_round(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether calls were made that all were made before, with the same results, since the user
    spoke last.

    Weak models call again what was answered, over and over; an agent would do so until its limit.
    """
    made: set[str] = set()
    again = False
    for _, calls in _calls_of_turn(messages):
        again = again or calls <= made
        made |= calls
    return again and messages[-1].get("role") == "tool"


def without_repeats(messages: Sequence[M]) -> list[M]:
    """The messages, less calls of the last turn that come again, and less their results.

    The latest of the same results stays.
    """
    turns = list(_calls_of_turn(messages))
    ends = [begin for begin, _ in turns[1:]]
    repeated = {
        at
        for number, ((begin, calls), end) in enumerate(zip(turns, ends, strict=False), 1)
        if calls <= frozenset().union(*(later for _, later in turns[number:]))
        for at in range(begin, end)
    }
    return [message for at, message in enumerate(messages) if at not in repeated]


def _calls_of_turn(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, frozenset[str]]]:
    """Where the assistant called since the user spoke last: names, arguments and results."""
    begin = len(messages)
    while begin and messages[begin - 1].get("role") in ("assistant", "tool"):
        begin -= 1
    for at in range(begin, len(messages)):
        if calls := messages[at].get("tool_calls"):
            yield at, frozenset(_with_results(calls, messages[at + 1 :]))


def _with_results(
    calls: Sequence[Mapping[str, Any]], behind: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Each call and its result as one text; the results stand behind them, in order or by id."""
    results = list(itertools.takewhile(lambda message: message.get("role") == "tool", behind))
    by_id = {result.get("tool_call_id"): result for result in reversed(results)}
    in_order: list[Mapping[str, Any]] = [*results, *({} for _ in calls)]
    for call, result in zip(calls, in_order, strict=False):
        function, id_ = call["function"], call.get("id")
        result = by_id.get(id_, result) if id_ else result
        made = [function.get("name"), _plain(function.get("arguments")), result.get("content")]
        yield json.dumps(made, sort_keys=True, default=str)


def _plain(arguments: Any) -> Any:
    with suppress(ValueError):
        return load_json(arguments) if isinstance(arguments, str) else arguments
    return arguments
