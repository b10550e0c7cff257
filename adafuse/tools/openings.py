"""Where a call begins in an answer, in whatever dialect it is written.

    dialect     how a call begins                                       where
    tool_call   <tool_call>, then {"name": "NAME" or <function=NAME>    anywhere
    mistral     [TOOL_CALLS], then [{"name": "NAME" or NAME{            anywhere
    python_tag  <|python_tag|>, then {"name": "NAME" or NAME(           anywhere
    function    <function=NAME>                                         anywhere
    tool_code   ```tool_code, then NAME(                                at the start of a line
    fence       ```json, then {"name": "NAME", "arguments": {           at the start of a line
    json        {"name": "NAME", "arguments": {                         at the start of a line

NAME is that of a known tool: with another one it is text. An object may stand in a list, may have
`"type": "function"` first, and `parameters` for `arguments`. These are the dialects of the chat
templates of Qwen, Hermes, Mistral, Llama 3 and Gemma, as the parsers of vLLM and llama.cpp know
them. JSON within a line, or in code of another language, is shown and not called. This module does
not know how calls go on.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import regex

from adafuse.tools.syntax import CALL_START

__all__ = ["BLANKS", "CallOpenings", "Opening", "object_head", "one_of"]

BLANKS = r"[ \t\r\n]{0,64}"  # in one place: a model that writes more writes no call
_LINE_START = r"(?<=(?:^|\n)[ \t]*)"
_CODE_FENCE = regex.compile(r"(?m)^[ \t]*```")
_BARE_FENCE = regex.compile(r"```[ \t]*\n")
_LATER = ("loose", "begun")


@dataclass(frozen=True, slots=True)
class Opening:
    """A place where a call begins, or may begin.

    Attributes:
        begin: the character where it does.
        dialect: as above. "loose": JSON that is a call if nothing follows it, or at the start of a
            line; "begun": CALL_START and a brace, whatever follows; "": the end of a text, which
            may be the beginning of a call.
    """

    begin: int
    dialect: str


def one_of(names: Collection[str]) -> str:
    """A regex of the names."""
    return "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))


def object_head(name: str) -> str:
    """A regex of a call's JSON object up to its name, of which `name` is a regex."""
    kind = rf'(?:"type"{BLANKS}:{BLANKS}"function"{BLANKS},{BLANKS})?'
    return rf'\{{{BLANKS}{kind}"name"{BLANKS}:{BLANKS}"(?:{name})"'


class CallOpenings:
    """Finds where calls of the named tools begin; None: at any CALL_START, and nowhere else."""

    def __init__(self, names: Collection[str] | None) -> None:
        self._names = None if names is None else frozenset(names)
        self._all = _pattern(names)
        self._sure = self._all if names is None else _pattern(names, but=_LATER)

    def sure(self, text: str, start: int = 0) -> Opening | None:
        """The first place where what is written can only be a call, or, at the end, may be."""
        return _find(self._sure, text, start, last=False)

    def call(self, text: str, start: int = 0, *, last: bool = False) -> Opening | None:
        """The first place from `start` on where a call begins.

        Its dialect is "" where it may, and what follows tells; not with `last`.
        """
        opening = _find(self._all, text, start, last=last)
        while opening is not None and opening.dialect == "loose":
            is_call = self._is_call(text, opening.begin, last)
            if is_call is not False:
                return Opening(opening.begin, "json" if is_call else "")
            opening = _find(self._all, text, opening.begin + 1, last=last)
        if opening is None and last and self._names is not None:
            begin = text.rfind(CALL_START, start)  # a call that was cut
            if begin >= 0 and not text[begin + len(CALL_START) :].strip():
                return Opening(begin, "begun")
        return opening

    def _is_call(self, text: str, begin: int, last: bool) -> bool | None:
        """Whether JSON is a call; None while that cannot be told."""
        try:
            value, end = json.JSONDecoder().raw_decode(text, begin)
        except (ValueError, RecursionError):
            return False if last else None
        calls = value if isinstance(value, list) else [value]
        if not all(map(self._is_object, calls)):
            return False
        if not text[text.rfind("\n", 0, begin) + 1 : begin].strip():
            return True
        return False if text[end:].strip() else last or None

    def _is_object(self, call: object) -> bool:
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(name, str):
            return False
        if name not in (self._names or ()):
            return False
        arguments = call.get("arguments", call.get("parameters"))
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        beside = call.keys() - {"name", "arguments", "parameters", "type", "id"}
        return isinstance(arguments, dict) and not beside


def _find(pattern: regex.Pattern[str], text: str, start: int, *, last: bool) -> Opening | None:
    while match := pattern.search(text, start, partial=not last):
        if match.partial:
            return Opening(match.start(), "") if match.start() < len(text) else None
        opening = Opening(match.start(), match.lastgroup or "")
        if not _in_code(text, opening):
            return opening
        start = opening.begin + 1
    return None


def _pattern(names: Collection[str] | None, but: Collection[str] = ()) -> regex.Pattern[str]:
    if names is None:
        return regex.compile(f"(?P<begun>{CALL_START})")
    name = one_of(names)
    head = object_head(name)
    arguments = rf'"(?:arguments|parameters)"{BLANKS}:{BLANKS}'
    called = rf"{head}{BLANKS},{BLANKS}{arguments}"
    listed = rf"(?:\[{BLANKS})?"
    tagged = rf'<function(?:=(?:{name})|{BLANKS} name="(?:{name})")>'
    forms = {
        "tool_call": rf"{CALL_START}{BLANKS}(?:{listed}{head}|{tagged})",
        "mistral": rf"\[TOOL_CALLS\]{BLANKS}(?:{listed}{head}|(?:{name}){BLANKS}[\[{{])",
        "python_tag": rf"<\|python_tag\|>{BLANKS}(?:{listed}{head}|(?:{name})(?:\.call)?\()",
        "function": tagged,
        "tool_code": rf"{_LINE_START}```tool_code{BLANKS}{listed}(?:print\({BLANKS})?"
        rf"(?:default_api\.)?(?:{name})\(",
        "fence": rf"{_LINE_START}```(?:json|JSON)?{BLANKS}{listed}{called}\{{",
        "json": rf"{_LINE_START}{listed}{called}\{{",
        "loose": rf"""(?<![`"'\w]){listed}(?:{called}|\{{{BLANKS}{arguments})[{{"]""",
        "begun": rf"{CALL_START}{BLANKS}\{{",
    }
    groups = (f"(?P<{dialect}>{form})" for dialect, form in forms.items() if dialect not in but)
    return regex.compile("|".join(groups))


def _in_code(text: str, opening: Opening) -> bool:
    """Whether JSON stands in a block of code that shows something else."""
    if opening.dialect not in ("json", "fence", "loose"):
        return False
    if opening.dialect == "fence" and not _BARE_FENCE.match(text, opening.begin):
        return False  # it names its own language
    return len(_CODE_FENCE.findall(text, 0, opening.begin)) % 2 == 1
