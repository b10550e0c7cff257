"""The standard suite for LlamaIndex models with the two demo models: what they can do themselves.

What depends on their competence would fail here and pass with the script in
`test_llama_index_standard`.
"""

from __future__ import annotations

import pytest

from adafuse import Ensemble
from adafuse.prompting.prompt import PromptFormat
from llama_index_answer_suite import AnswerSuite
from llama_index_engine_suite import EngineSuite
from llama_index_event_suite import EventSuite
from llama_index_structured_suite import StructuredSuite
from llama_index_tool_suite import ToolSuite
from real_pair import real_pair

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::adafuse.AdaFuseWarning"),
]


class _Real:
    override = "smollm2"
    max_tokens = 8
    prompt_format: PromptFormat = "chat"  # one member is a base model

    @property
    def ensemble(self) -> Ensemble:
        return real_pair()


class TestRealAnswers(_Real, AnswerSuite):  # type: ignore[misc]
    pass


class TestRealEvents(_Real, EventSuite):  # type: ignore[misc]
    pass


class TestRealTools(_Real, ToolSuite):  # type: ignore[misc]
    pass


class TestRealStructured(_Real, StructuredSuite):  # type: ignore[misc]
    pass


class TestRealEngines(_Real, EngineSuite):  # type: ignore[misc]
    pass
