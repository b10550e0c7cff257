"""What a server that is asked by several tests says, and how it is asked."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from serve_setup import Running
from watched_members import CODE

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
TEXT = "Grüße – 你好, 😀\n\n  if x < 5:\t'<think>'\n"
TWO_CALLS = "\n".join(
    ["Let me see.", call_text("add", {"a": 1, "b": 2}), call_text("add", {"a": 3, "b": 4})]
)
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
NO_OBJECT = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[1]"}}


class Person(BaseModel):
    name: str
    age: int


def respond(prompt: Prompt) -> str:
    """What the first member wants to say."""
    asked = str(prompt.messages[-1]["content"])
    if asked == "tools":
        return "\n".join([str(message["role"]) for message in prompt.messages])
    if prompt.messages[-1]["role"] == "tool":
        return f"{prompt.messages[-1]['name']} says {asked}"
    if asked == "add":
        return TWO_CALLS if prompt.tools else "nothing to call"
    if asked == "person":
        return json.dumps({"name": "Ada", "age": 36})
    if asked.endswith((" call", " json")):
        words = [f"{n * 7919 % 1000:03}" for n in range(1 if asked.startswith("short") else 40)]
        arguments = {"name": " ".join(words)}
        return call_text("keep", arguments) if asked.endswith("call") else json.dumps(arguments)
    if asked == "system":
        return str(prompt.messages[0]["content"])
    return CODE if asked == "code" else TEXT


def scripted() -> Ensemble:
    """Two members, of which the first has more to say."""
    first = ScriptedMember(respond=respond, name="first", confident=False, weight=3.0)
    return Ensemble([first, ScriptedMember("Grüße – no", name="second")])


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def ask(server: Running, text: str, **options: Any) -> Any:
    options = {"model": "adafuse", "messages": asked(text), **options}
    return server.openai().chat.completions.create(**options)
