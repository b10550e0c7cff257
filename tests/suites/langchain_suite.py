"""LangChain's standard suite for chat models, ready for any ensemble, and an engine that passes it.

A test module derives from `ChatSuite` and says which ensemble answers. The engine is a script: it
shows that everything around the models works. Real models show what they can do themselves.
"""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_tests.integration_tests import ChatModelIntegrationTests

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse

__all__ = ["ChatSuite", "respond", "scripted_pair"]

JOKE = {"setup": "Why do cats sit on keyboards?", "punchline": "To keep an eye on the mouse."}


def respond(prompt: Prompt) -> str:
    """What a model that understands the standard suite's requests would answer."""
    last = prompt.messages[-1]
    asked = str(last["content"])
    constraint = prompt.constraint
    if constraint is not None and constraint.what == "JSON answer":
        return json.dumps(JOKE, ensure_ascii=False)
    names = [tool["function"]["name"] for tool in prompt.tools]
    if last["role"] == "tool" or not names or (constraint is not None and "1 + 2" in asked):
        return f"You said: {asked[:60]}"
    arguments = _arguments(asked)
    name = next((one for one in names if f"{one}(" in asked), names[0])
    return call_text(name, arguments.get(name, {"location": "San Francisco, CA"}))


def _arguments(asked: str) -> dict[str, dict[str, Any]]:
    """Arguments by tool; those of numbers and names are taken from the request."""
    numbers = [int(one) for one in re.findall(r"\d+", asked)]
    quoted = re.search("'(.*?)'", asked)
    return {
        "magic_function": {"input": (numbers or [1])[-1]},
        "magic_function_no_args": {},
        "greeting_generator": {"answer_style": "pirate"},
        "my_adder_tool": {"a": (numbers or [0])[0], "b": (numbers or [0])[-1]},
        "unicode_customer": {
            "customer_name": quoted[1] if quoted else "",
            "description": "a technology company",
        },
        "Joke": JOKE,
        "JokeDict": JOKE,
    }


def scripted_pair() -> Ensemble:
    """Two members that run the script; one of them hesitates at every word."""
    first = ScriptedMember(name="first", respond=respond, confident=False)
    return Ensemble([first, ScriptedMember(name="second", respond=respond, templated=True)])


class ChatSuite(ChatModelIntegrationTests):
    """The integration suite; seven tests are switched off, for what is not a text model's."""

    ensemble: Ensemble
    override: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - read only

    @property
    def chat_model_class(self) -> type[ChatAdaFuse]:
        return ChatAdaFuse

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"ensemble": self.ensemble, **self.settings}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return self.override
