"""Settings that are small to write and would be huge to enforce; each is tried on a member.

python tests/support/expensive_settings.py

prints one line of JSON: by name, what came of it; and the peak of memory.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from adafuse import AdaFuseError, Ensemble
from adafuse.testing import ScriptedMember

__all__ = ["BOMBS"]


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def _doubling(keyword: str, levels: int = 40) -> dict[str, Any]:
    """Each schema names the next one twice: 2^levels ways to the last."""

    def twice(at: int) -> Any:
        both = [{"$ref": f"#/$defs/d{at + 1}"}] * 2
        if keyword != "properties":
            return {keyword: both}
        named = dict(zip("lr", both, strict=True))
        return {"type": "object", "properties": named, "required": ["l", "r"]}

    named = {f"d{at}": twice(at) for at in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**named, f"d{levels}": {"type": "null"}}}


def _chain(length: int) -> dict[str, Any]:
    named: dict[str, Any] = {f"d{at}": {"$ref": f"#/$defs/d{at + 1}"} for at in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**named, f"d{length}": {"type": "null"}}}


def _choosing(count: int) -> dict[str, Any]:
    """4^count combinations."""
    fields = [
        [{"properties": {f"k{one}{at}": {"const": at}}} for at in range(4)] for one in range(count)
    ]
    return {"allOf": [{"anyOf": options} for options in fields]}


def _named(pattern: str, name: str) -> dict[str, Any]:
    """A regex for names beside a name that it is searched for in."""
    rest = {"properties": {name: {"type": "string"}}}
    return {"type": "object", "patternProperties": {pattern: {"type": "integer"}}, **rest}


_ROWS = {"type": "array", "minItems": 1000}

BOMBS: dict[str, dict[str, Any]] = {
    "deep schema": {"json_schema": _deep(400)},
    "allOf doubled": {"json_schema": _doubling("allOf")},
    "anyOf doubled": {"json_schema": _doubling("anyOf")},
    "oneOf doubled": {"json_schema": _doubling("oneOf")},
    "properties doubled": {"json_schema": _doubling("properties")},
    "combinations": {"json_schema": _choosing(12)},
    "chain of references": {"json_schema": _chain(3000)},
    "reference to itself": {"json_schema": {"$ref": "#"}},
    "allOf of itself": {"json_schema": {"allOf": [{"$ref": "#"}]}},
    "list of itself": {"json_schema": {"type": "array", "items": {"$ref": "#"}}},
    "a billion items": {"json_schema": {"type": "array", "minItems": 10**9}},
    "a billion characters": {"json_schema": {"type": "string", "minLength": 10**9}},
    "a billion items in all": {"json_schema": {**_ROWS, "items": {**_ROWS, "items": _ROWS}}},
    "many properties": {
        "json_schema": {"type": "object", "properties": {f"p{at}": {} for at in range(3000)}}
    },
    "counts in a pattern": {"json_schema": {"type": "string", "pattern": "^(((a{99}){99}){99})$"}},
    "counts in a name": {"json_schema": _named("^(((a{999}){999}){999})$", "aab")},
    "backtracking in a name": {"json_schema": _named("^(a|aa)+$", "a" * 60 + "b")},
    "counts": {"regex": "(((a{100}){100}){100})"},
    "backtracking": {"regex": "(a+)+$"},
    "backtracking, two ways": {"regex": "(a|aa)+b"},
    "2^200 states": {"regex": "(a|b)*a(a|b){200}"},
    "deep regex": {"regex": "(" * 20_000 + "a" + ")" * 20_000},
    "long choice": {"choices": ["x" * 1_000_000, "y"]},
    "many choices": {"choices": [f"c{at}" for at in range(10_000)]},
    "deep grammar": {"grammar": "start: " + "(" * 5000 + '"a"' + ")" * 5000},
    "rules doubled": {
        "grammar": "\n".join(
            ["start: r0", *(f"r{at}: r{at + 1} r{at + 1}" for at in range(60)), 'r60: "a"']
        )
    },
    "terminals doubled": {
        "grammar": "\n".join(
            ["start: T0", *(f"T{at}: T{at + 1} T{at + 1}" for at in range(40)), 'T40: "a"']
        )
    },
    "ambiguous grammar": {"grammar": 'start: start start | "a" | ""'},
    "a million times": {"grammar": 'start: x{1000000}\nx: "a"'},
}


def _outcome(setting: dict[str, Any]) -> tuple[str, str]:
    ensemble = Ensemble([ScriptedMember("a" * 200)])
    try:
        return "", ensemble.generate("prompt", max_new_tokens=8, **setting).text
    except AdaFuseError as error:
        return type(error).__name__, str(error)


def _peak_bytes() -> int:
    """The most memory that this process has held."""
    if sys.platform == "linux":  # where `ru_maxrss` counts what the parent held when it began us
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    found = {name: _outcome(setting) for name, setting in BOMBS.items()}
    print(json.dumps({"outcomes": found, "peak_bytes": _peak_bytes()}))
