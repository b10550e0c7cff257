"""Our standard suite for completion models, on scripted members."""

from __future__ import annotations

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from llm_suite import CompletionSuite


def respond(prompt: Prompt) -> str:
    """What a willing model would answer."""
    asked = str(prompt.messages[-1]["content"])
    if asked.startswith("Describe"):
        return '{"name": "Ada Lovelace", "age": 36}'
    answers = {"Tell a date.": "1815-12-10", "Yes or no?": "yes", "Say it.": "abd"}
    return answers.get(asked, " Paris, of course.\n")


class TestCompletion(CompletionSuite):
    ensemble = Ensemble(
        [
            ScriptedMember(name="first", respond=respond, confident=False),
            ScriptedMember(name="second", respond=respond),
        ]
    )
    override = "second"
