"""The base of a standard suite for LlamaIndex models, which LlamaIndex does not have.

As strict as LangChain's for chat models, test for test where there is the same thing, over every
method in four forms: plain, stream, async and async stream. A test module derives from the classes
of `llama_index_answer_suite`, `_event_suite`, `_tool_suite`, `_structured_suite` and
`_engine_suite`, and says which ensemble answers; nothing in them depends on what the models say.
"""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from adafuse import Ensemble
from adafuse.prompting.prompt import PromptFormat
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import FORMS, ask, text_of

__all__ = ["LlamaIndexSuite", "MethodSuite", "said"]


class LlamaIndexSuite:
    """Derive from it, and set these.

    Attributes:
        ensemble: two members or more.
        override: names of some of them, joined by "+".
        prompt: to be answered; the answer must have words.
        max_tokens: of an answer in free text.
        prompt_format: how strings are read.
    """

    ensemble: Ensemble
    override: str
    prompt = "What is the capital of France? Tell me about it."
    max_tokens = 24
    prompt_format: PromptFormat = "auto"

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return self.model()

    def model(self, **fields: Any) -> AdaFuseLLM:
        """A model of the ensemble."""
        settings = {"max_tokens": self.max_tokens, "prompt_format": self.prompt_format, **fields}
        return AdaFuseLLM(ensemble=self.ensemble, **settings)

    @pytest.fixture(params=FORMS)
    def form(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class MethodSuite(LlamaIndexSuite):
    """`complete` and `chat`, each in four forms."""

    @pytest.fixture(params=["complete", "chat"])
    def method(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def ask(
        self, llm: Any, method: str, form: str, prompt: str | None = None, **kwargs: Any
    ) -> list[Any]:
        """All responses to a prompt, or to the one that is always asked."""
        asked = self.prompt if prompt is None else prompt
        return ask(llm, method, form, said(asked) if method == "chat" else asked, **kwargs)

    def text(self, llm: Any, method: str, form: str, prompt: str | None = None, **kw: Any) -> str:
        return text_of(self.ask(llm, method, form, prompt, **kw)[-1])


def said(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=prompt)]
