"""The standard suite for LlamaIndex models, with members that follow a script."""

from __future__ import annotations

from adafuse import Ensemble
from llama_index_answer_suite import AnswerSuite
from llama_index_engine_suite import EngineSuite
from llama_index_event_suite import EventSuite
from llama_index_script import scripted_pair
from llama_index_structured_suite import StructuredSuite
from llama_index_tool_suite import ToolSuite


class _Scripted:
    ensemble: Ensemble = scripted_pair()
    override = "second"


class TestAnswers(_Scripted, AnswerSuite):
    pass


class TestEvents(_Scripted, EventSuite):
    pass


class TestTools(_Scripted, ToolSuite):
    pass


class TestStructured(_Scripted, StructuredSuite):
    pass


class TestEngines(_Scripted, EngineSuite):
    pass
