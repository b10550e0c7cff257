"""A schema that nobody here can change, less what no grammar can hold an answer to.

Tools of other servers have sets, lookaheads, `not` and `if`. A call is held to the rest of such a
schema while it is written, and checked against all of it once it is whole. Knows no grammar.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import regex
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import SchemaError as JsonSchemaError
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable

from adafuse.json_schema.document import (
    Document,
    EmptySchemaError,
    SchemaError,
    WrongSchemaError,
    modern,
)
from adafuse.json_schema.regexes import found

__all__ = ["arguments_check", "loosest"]

_MOST = 64  # keywords that one schema is loosened by
_SECONDS = 1.0  # of a search


def _loosened(schema: Mapping[str, Any], error: SchemaError) -> dict[str, Any] | None:
    """The schema without the keyword that an error is about; None if that would not do.

    A contradiction, or what is no schema, stays an error. Options of a `oneOf` stay options.
    """
    if isinstance(error, EmptySchemaError | WrongSchemaError) or error.keyword is None:
        return None
    root = modern(schema)
    part: Any = root
    for step in error.pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        part = part[int(name)] if isinstance(part, list) else part.get(name)
        if part is None:
            return None
    if not isinstance(part, dict) or error.keyword not in part:
        return None
    value = part.pop(error.keyword)
    if error.keyword == "oneOf" and "anyOf" not in part:
        part["anyOf"] = value
    return root


def loosest(
    schema: Mapping[str, Any], layout: Callable[[Mapping[str, Any]], str]
) -> tuple[str, list[SchemaError]]:
    """What a grammar can hold of a schema, and what is left out.

    Raises:
        SchemaError: it is no schema, or nothing fits it.
    """
    left_out: list[SchemaError] = []
    while True:
        try:
            return layout(schema), left_out
        except SchemaError as error:
            looser = _loosened(schema, error) if len(left_out) < _MOST else None
            if looser is None:
                raise
            left_out.append(error)
            schema = looser


def arguments_check(
    tools: Iterable[Mapping[str, Any]],
) -> Callable[[str, Mapping[str, Any]], str]:
    """What tells why the arguments of a call do not fit its tool; "" if they do.

    `tools` are as `adafuse.tools.read_tools` gives them.
    """
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}

    @functools.cache
    def validator(name: str) -> Any:
        document = Document(modern(schemas[name]))
        return _Validator(document.root, registry=document.registry)

    def problem(name: str, arguments: Mapping[str, Any]) -> str:
        if name not in schemas:
            return ""
        try:
            error = next(validator(name).iter_errors(json.loads(json.dumps(arguments))), None)
        except (RecursionError, Unresolvable, JsonSchemaError, SchemaError, ValueError, TypeError):
            return ""  # what takes too long, or is no schema, is left to the tool
        return "" if error is None else " ".join(error.message.split())

    return problem


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """As it is written, lookaheads too."""
    if not isinstance(value, str):
        return
    try:
        is_found = found(pattern, value)
    except SchemaError:  # no grammar can have it
        try:
            is_found = regex.search(pattern, value, flags=regex.V0, timeout=_SECONDS) is not None
        except (regex.error, TimeoutError):
            return
    if not is_found:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})
