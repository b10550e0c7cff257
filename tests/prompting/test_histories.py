"""Histories are read as other servers and clients write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adafuse.prompting.prompt import read_prompt


def assistant(calls: list[Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": calls}


def call(name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        *((text, {}) for text in ("", " ", "\n", None, "null", "{}", "[]", [], {}, '"{}"', '""')),
        ('{"a": 1}', {"a": 1}),
        (json.dumps('{"a": "ü"}'), {"a": "ü"}),
        (json.dumps('{"a": 1, "a": 2}'), {"a": 2}),
    ],
)
def test_arguments_are_read_as_other_servers_and_clients_write_them(
    written: Any, arguments: dict[str, Any]
) -> None:
    """What others write is read: no text for no arguments, and JSON that is encoded twice."""
    given = assistant([call(arguments=written)])
    assert read_prompt([given]).messages[0]["tool_calls"][0]["function"]["arguments"] == arguments
    unsaid = {"id": "1", "type": "function", "function": {"name": "f"}}
    (read,) = read_prompt([assistant([unsaid])]).messages
    assert read["tool_calls"][0]["function"]["arguments"] == {}
