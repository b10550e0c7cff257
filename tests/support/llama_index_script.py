"""A script that passes LlamaIndex's tasks, tools and classes to test with, and notes of events.

The script shows that everything around the models works. Real models show what they can do
themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from watched_members import run

__all__ = [
    "FORMS",
    "Events",
    "Person",
    "Team",
    "ask",
    "debugging",
    "is_async",
    "is_stream",
    "listening",
    "respond",
    "scripted_pair",
    "text_of",
    "tools",
]

FORMS = ("plain", "stream", "async", "astream")
_PREFIX = {"plain": "", "stream": "stream_", "async": "a", "astream": "astream_"}
ANSWER = "The library  opens at 9:\n\n\t- on weekdays, c'est-à-dire 5 days; 世界 😀\n"


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=24)
    age: int = Field(ge=0, le=150)


class Team(BaseModel):
    """Some people, and what they do."""

    kind: Literal["sports", "work"]
    members: list[Person] = Field(max_length=2)
    motto: str | None = Field(default=None, max_length=24)


ADA = {"name": "Ada Lovelace", "age": 36}
TEAM = {"kind": "work", "members": [ADA, {"name": "Zoë 世界", "age": 7}], "motto": None}


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


def look_up(word: str = Field(max_length=24)) -> str:
    """Look up a word."""
    return f"{word}: see there"


def now() -> str:
    """Tell the time."""
    return "12:00"


def tools(*functions: Callable[..., Any]) -> list[FunctionTool]:
    """Functions as LlamaIndex's tools; without any, all three of this module."""
    return [FunctionTool.from_defaults(one) for one in functions or (multiply, look_up, now)]


def respond(prompt: Prompt) -> str:
    """What a model that understands what LlamaIndex asks would answer."""
    first, last = prompt.messages[0], prompt.messages[-1]
    asked = str(last["content"])
    constraint = prompt.constraint
    if constraint is not None and constraint.what == "JSON answer":
        return json.dumps(TEAM if "motto" in constraint.grammar else ADA, ensure_ascii=False)
    if last["role"] == "tool":
        return f"The tool says {asked}."
    if prompt.tools and (calls := _calls(prompt, asked)):
        return "\n".join(calls)
    if "Action Input:" in str(first["content"]):
        return _react_step(asked)
    if "sub-questions" in asked:
        return _sub_questions(asked)
    if "Some choices are given below" in asked:
        return json.dumps([{"choice": 2, "reason": "it is about the rooms"}])
    return ANSWER


def _calls(prompt: Prompt, asked: str) -> list[str]:
    """The calls that are asked for by name; if there must be one, of the first tool there is."""
    numbers = [int(one) for one in re.findall(r"\d+", asked)] or [6, 7]
    arguments: dict[str, dict[str, Any]] = {
        "multiply": {"a": numbers[0], "b": numbers[-1]},
        "look_up": {"word": '世界 <tag> "x"'},
        "now": {},
        "Person": ADA,
        "Team": TEAM,
        "SingleSelection": {"index": 2, "reason": "it is about the rooms"},
        "handoff": {"to_agent": "counting", "reason": "it multiplies"},
    }
    names = [tool["function"]["name"] for tool in prompt.tools]
    constraint = prompt.constraint
    must = constraint is not None and constraint.trigger is None and not constraint.prose
    wanted = [name for name in names if name in asked] or names[: int(must)]
    return [call_text(name, arguments.get(name, {})) for name in wanted]


def _react_step(asked: str) -> str:
    if asked.startswith("Observation:"):
        return (
            f"Thought: I can answer.\nAnswer: It is {asked.removeprefix('Observation:').strip()}."
        )
    return 'Thought: I need to multiply.\nAction: multiply\nAction Input: {"a": 127, "b": 34}'


def _sub_questions(asked: str) -> str:
    """One for each tool; the prompt has the tools as JSON, behind those of an example."""
    shown = json.loads(asked.rsplit("```json", 1)[-1].split("```", 1)[0])
    items = [{"sub_question": f"What about {name}?", "tool_name": name} for name in shown]
    return f"```json\n{json.dumps({'items': items})}\n```"


def scripted_pair() -> Ensemble:
    """Two members that run the script; one of them hesitates at every word."""
    first = ScriptedMember(name="first", respond=respond, confident=False)
    return Ensemble([first, ScriptedMember(name="second", respond=respond, templated=True)])


def is_stream(form: str) -> bool:
    """Whether a form gives several responses."""
    return form.endswith("stream")


def is_async(form: str) -> bool:
    """Whether a form is awaited."""
    return form.startswith("a")


def ask(llm: Any, method: str, form: str, *args: Any, **kwargs: Any) -> list[Any]:
    """Call one form of a method, and return all that it gives."""
    call = getattr(llm, _PREFIX[form] + method)
    if form == "plain":
        return [call(*args, **kwargs)]
    if form == "stream":
        return list(call(*args, **kwargs))

    async def main() -> list[Any]:
        if form == "async":
            return [await call(*args, **kwargs)]
        return [one async for one in await call(*args, **kwargs)]

    return run(main(), seconds=600)


def text_of(response: Any) -> str:
    """The text of a completion or of a chat response."""
    return str(response.text if hasattr(response, "text") else response.message.content or "")


class Events(BaseEventHandler):
    """Writes down what instrumentation tells."""

    seen: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)

    @property
    def names(self) -> list[str]:
        return [type(one).__name__ for one in self.seen]


@contextmanager
def listening() -> Generator[Events]:
    """Notes of every event meanwhile."""
    events, root = Events(), get_dispatcher()
    root.add_event_handler(events)
    try:
        yield events
    finally:
        root.event_handlers.remove(events)


def debugging() -> tuple[CallbackManager, Callable[[], list[dict[str, Any]]]]:
    """A callback manager, and the payloads of the LLM events that have ended."""
    handler = LlamaDebugHandler(print_trace_on_end=False)

    def ends() -> list[dict[str, Any]]:
        events = handler.get_events(CBEventType.LLM)
        starts, rest = events[::2], events[1::2]
        assert len(starts) == len(rest)
        return [one.payload or {} for one in rest]

    return CallbackManager([handler]), ends
