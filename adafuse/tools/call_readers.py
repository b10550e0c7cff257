"""One call in a dialect other than the canonical one, read as it comes and without exceptions.

    {"name": "NAME", "arguments": {…}}              ObjectReader
    NAME{…}, NAME[ARGS]{…}                          NamedReader (Mistral)
    <function=NAME>{…}</function>, or with          TaggedReader (Llama 3.1; Qwen3-Coder)
      <parameter=KEY>…</parameter> within
    NAME(KEY=…, …)                                  PythonReader (Gemma, Llama 3)

Each is read from its first character, and ends with its last one. All but the first give out their
arguments when they end. What Python says is read as literals; nothing is run.
"""

from __future__ import annotations

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import regex

from adafuse.tools.call_parser import CallParser, InvalidCall, ToolCall
from adafuse.tools.partial_json import MALFORMED, NO_OBJECT, load_json, unquoted

__all__ = ["NamedReader", "ObjectReader", "PythonReader", "TaggedReader"]

_NO_END = "the call does not end"
_HEAD = regex.compile(r"([\w.-]+)\s*(?:\[CALL_ID\]\s*\w*\s*)?(?:\[ARGS\]\s*)?(?=\{)")
_TAG = regex.compile(r"""<function(?:=|\s+name=")([^>"]+)"?>""")
_TAG_END = "</function>"
_PARAMETER = regex.compile(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", regex.DOTALL)
_CALLEE = regex.compile(r"(?:default_api\.)?([\w.-]+?)(?:\.call)?\(")
_SPELT = {"true": True, "false": False, "null": None}  # JSON's words in Python


class ObjectReader(CallParser):
    """Reads a JSON object; `lead` is what the answer has of the call before it."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], lead: str) -> None:
        super().__init__(tools)
        self._lead = lead

    @property
    def arguments(self) -> str:
        """The JSON text of the arguments as far as it is sure. It only ever grows."""
        begin, end = self._json.arguments
        if self.call is not None or begin is None or self._text[begin] != "{":
            return (self._arguments or "") if self.call is not None else ""
        return self._text[begin : self._json.at if end is None else end]

    def read(self, text: str, *, last: bool = False) -> str | None:
        """Read on; see `CallParser.read`. What is broken goes on to the end of the answer."""
        self._text += text
        self._error = self._error or self._json.read(self._text)
        if self._json.name in (self._names or ()):
            self.name = self._json.name
        if self._error is None and self._json.complete:
            return self._end(self._text[self._json.at :])
        if not last:
            return None
        begin, end = self._json.arguments
        if begin is not None:
            self._arguments = unquoted(self._text[begin : self._json.at if end is None else end])
        self._set_invalid(self._text, self._error or _NO_END)
        return ""

    def _set_invalid(self, text: str, error: str) -> None:
        self.call = InvalidCall(self._lead + text, self._json.name, self._arguments, error)


class _WholeReader(ABC):
    """A call that is read when it has ended."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], lead: str) -> None:
        self.call: ToolCall | InvalidCall | None = None
        self.name: str | None = None
        self.arguments = ""
        self._tools, self._lead = tools, lead
        self._text = ""

    def read(self, text: str, *, last: bool = False) -> str | None:
        """Read on; see `CallParser.read`."""
        self._text += text
        self.name = self.name or self._find_name()
        end, error = self._find_end(last), _NO_END
        if end is None and not last:
            return None
        text = self._text[:end]
        if end is not None:
            try:
                values = self._values(text)
                self.arguments = json.dumps(values, ensure_ascii=False, allow_nan=False)
                assert self.name is not None
                self.call = ToolCall(self.name, load_json(self.arguments))
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as problem:
                self.arguments = ""
                error = " ".join(str(problem).split()) or MALFORMED
        if self.call is None:
            self.call = InvalidCall(self._lead + text, self.name, None, error)
        return self._text[len(text) :]

    @abstractmethod
    def _find_name(self) -> str | None: ...

    @abstractmethod
    def _find_end(self, last: bool) -> int | None:
        """Behind the call's last character, once that is there."""

    @abstractmethod
    def _values(self, text: str) -> dict[str, Any]:
        """The arguments of a whole call; raises what says that they cannot be read."""


class NamedReader(_WholeReader):
    """Reads a name with JSON behind it."""

    def _find_name(self) -> str | None:
        head = _HEAD.match(self._text)
        return head[1] if head else None

    def _find_end(self, last: bool) -> int | None:
        head = _HEAD.match(self._text)
        return _json_end(self._text, head.end()) if head else None

    def _values(self, text: str) -> dict[str, Any]:
        head = _HEAD.match(text)
        assert head is not None
        return _object(text[head.end() :])


class TaggedReader(_WholeReader):
    """Reads a call between tags."""

    def _find_name(self) -> str | None:
        tag = _TAG.match(self._text)
        return tag[1] if tag else None

    def _find_end(self, last: bool) -> int | None:
        tag = _TAG.match(self._text)
        if tag is None:
            return None
        begin = tag.end()
        content = self._text[begin:].lstrip()
        if content.startswith("{"):
            end = _json_end(self._text, len(self._text) - len(content))
            if end is None:
                return None
            begin = end
        at = self._text.find(_TAG_END, begin)
        if at >= 0:
            return at + len(_TAG_END)
        whole = content.startswith("{") or content.rstrip().endswith("</parameter>")
        return len(self._text) if last and whole else None

    def _values(self, text: str) -> dict[str, Any]:
        tag = _TAG.match(text)
        assert tag is not None
        content = text[tag.end() :].removesuffix(_TAG_END).strip()
        if content.startswith("{"):
            return _object(content)
        assert self.name is not None
        schemas = self._tools[self.name]
        if _PARAMETER.sub("", content).strip():
            raise ValueError("something in the call is no parameter")
        return {key: _value(text, schemas.get(key)) for key, text in _PARAMETER.findall(content)}


class PythonReader(_WholeReader):
    """Reads a call as Python writes it."""

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], lead: str) -> None:
        super().__init__(tools, lead)
        self._at = self._depth = 0  # characters looked at, and brackets open there
        self._quote = ""

    def _find_name(self) -> str | None:
        callee = _CALLEE.match(self._text)
        return callee[1] if callee else None

    def _find_end(self, last: bool) -> int | None:
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._quote and char == "\\":
                if self._at + 1 >= len(self._text):
                    return None
                self._at += 1
            elif self._quote or char in "\"'":
                self._quote = "" if char == self._quote else self._quote or char
            elif char in "([{":
                self._depth += 1
            elif char in ")]}":
                self._depth -= 1
                if self._depth <= 0:
                    return self._at + 1
            self._at += 1
        return None

    def _values(self, text: str) -> dict[str, Any]:
        callee = _CALLEE.match(text)
        assert callee is not None
        assert self.name is not None
        call = ast.parse(f"_({text[callee.end() :]}", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError(MALFORMED)
        keys = list(self._tools[self.name])
        if len(call.args) > len(keys):
            raise ValueError("the call has more arguments than the tool has parameters")
        values = dict(zip(keys, map(_literal, call.args), strict=False))
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in values:
                raise ValueError("the call's arguments are no names with values")
            values[keyword.arg] = _literal(keyword.value)
        return values


def _json_end(text: str, begin: int) -> int | None:
    """Behind the JSON value that begins there, if all of it is there."""
    try:
        return json.JSONDecoder().raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, Any]:
    value = load_json(text)
    if not isinstance(value, dict):
        raise ValueError(NO_OBJECT)
    return value


def _value(text: str, schema: object) -> Any:
    """A parameter as its schema wants it: the text itself, or what it says as JSON."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
        return text
    try:
        return load_json({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except (ValueError, RecursionError):
        return text


def _literal(node: ast.expr) -> Any:
    """A Python literal, also with JSON's words; ValueError for anything else."""
    return ast.literal_eval(_Spelling().visit(node))


class _Spelling(ast.NodeTransformer):
    """Puts values in place of JSON's words."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        if node.id not in _SPELT:
            raise ValueError(f"the call's argument {node.id!r} is no value")
        return ast.Constant(_SPELT[node.id])
