"""What only looks like a keyword is refused by name: nothing is ignored silently."""

from __future__ import annotations

from typing import Any

import pytest

from adafuse import AdaFuseWarning, ConfigError, Ensemble
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text

NUMBER = {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "place", "meant"),
    [
        ({"type": "object", "propertes": {"a": NUMBER}}, "top level", "properties"),
        ({"properties": {"a": NUMBER}, "requird": ["a"]}, "top level", "required"),
        ({"properties": {"a": {"type": "string", "min_length": 3}}}, "/properties/a", "minLength"),
        ({"properties": {"a": {"type": "array", "item": NUMBER}}}, "/properties/a", "items"),
        ({"type": "array", "items": {"anyof": [NUMBER]}}, "/items", "anyOf"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"additional_properties": False}}},
            "a",
            "additional",
        ),
    ],
)
def test_a_misspelt_keyword_is_refused_with_what_is_meant(
    schema: dict[str, Any], place: str, meant: str
) -> None:
    with pytest.raises(ConfigError, match=f"at .*{place}.* is no keyword; did you mean '{meant}"):
        Ensemble([ScriptedMember("x")]).generate("x", json_schema=schema)


@pytest.mark.parametrize(
    "note",
    ["title", "examples", "x-item", "enumNames", "propertyOrder", "multiple", "label", "strict"],
)
def test_notes_stay_notes(note: str) -> None:
    schema = {"type": "object", "properties": {"item": NUMBER}, note: "x"}
    answer = Ensemble([ScriptedMember('{"item": 3}')]).generate("x", json_schema=schema)
    assert answer.text == '{"item": 3}'


def test_a_misspelt_keyword_of_a_tool_is_told_and_the_rest_held() -> None:
    parameters = {"type": "object", "properties": {"a": {**NUMBER, "minimun": 3}}}
    tool = {"type": "function", "function": {"name": "misspelt", "parameters": parameters}}
    members = Ensemble([ScriptedMember(call_text("misspelt", {"a": 1}))])
    chat = [{"role": "user", "content": "x"}]
    with pytest.warns(AdaFuseWarning, match="'minimun' at /properties/a is no keyword; did you me"):
        answer = members.generate(chat, tools=[tool], tool_choice="any")
    assert answer.text == call_text("misspelt", {"a": 1})
