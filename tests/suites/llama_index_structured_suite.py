"""The part of the standard suite for LlamaIndex models that is about objects, in four forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from adafuse import ConfigError, IncompleteAnswerError
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import Person, Team, ask, is_stream, listening, text_of
from llama_index_suite import LlamaIndexSuite

__all__ = ["StructuredSuite"]

DESCRIBE = PromptTemplate("Describe {who}.")


class Impossible(BaseModel):
    """What no grammar here holds an answer to."""

    model_config = {"json_schema_extra": {"not": {"required": ["x"]}}}
    x: int = 0


class StructuredSuite(LlamaIndexSuite):
    """`structured_predict` and `as_structured_llm`."""

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return self.model(max_tokens=128)

    def predict(
        self, llm: AdaFuseLLM, form: str, output_cls: type[BaseModel] = Person, **kwargs: Any
    ) -> list[Any]:
        given = {"who": "Ada Lovelace", **kwargs}
        return ask(llm, "structured_predict", form, output_cls, DESCRIBE, **given)

    def test_an_object(self, llm: AdaFuseLLM, form: str) -> None:
        *growing, whole = self.predict(llm, form)
        assert type(whole) is Person
        assert whole == self.predict(llm, "plain")[-1]
        assert bool(growing) == is_stream(form)
        for one in growing:
            assert set(one.model_dump()) == {"name", "age"}

    def test_a_nested_object(self, llm: AdaFuseLLM, form: str) -> None:
        *growing, whole = self.predict(llm, form, Team)
        assert type(whole) is Team
        assert all(type(one) is Person for one in whole.members)
        assert len(growing) > 1 or not is_stream(form)

    def test_messages(self, llm: AdaFuseLLM, form: str) -> None:
        said = [
            ChatMessage(role="system", content="You know everybody."),
            ChatMessage(role="user", content="Describe {who}."),
        ]
        template = ChatPromptTemplate(message_templates=said)
        whole = ask(llm, "structured_predict", form, Person, template, who="Ada")[-1]
        assert type(whole) is Person

    def test_settings_of_a_call(self, llm: AdaFuseLLM, form: str) -> None:
        given = {"model": self.override, "temperature": 0.5, "seed": 3}
        whole = self.predict(llm, form, llm_kwargs=given)[-1]
        assert whole == self.predict(llm, "plain", llm_kwargs=given)[-1]
        with pytest.raises(ConfigError, match="did you mean 'temperature'"):
            self.predict(llm, form, llm_kwargs={"temprature": 1})
        with pytest.raises(ConfigError, match="themselves"):
            self.predict(llm, form, llm_kwargs={"json_schema": Team})

    def test_an_answer_that_is_cut(self, llm: AdaFuseLLM, form: str) -> None:
        with pytest.raises(IncompleteAnswerError):
            self.predict(llm, form, llm_kwargs={"max_tokens": 2})

    def test_what_cannot_be_enforced(self, llm: AdaFuseLLM, form: str) -> None:
        with pytest.raises(ConfigError, match="cannot be enforced"):
            self.predict(llm, form, Impossible)

    def test_events(self, llm: AdaFuseLLM, form: str) -> None:
        with listening() as events:
            objects = self.predict(llm, form)
        told = [name for name in events.names if "Structured" in name]
        count = len(objects) if is_stream(form) else 0
        between = ["LLMStructuredPredictInProgressEvent"] * count
        start, end = "LLMStructuredPredictStartEvent", "LLMStructuredPredictEndEvent"
        assert told == [start, *between, end]
        assert events.seen[events.names.index(end)].output == objects[-1]

    def test_by_a_call(self, llm: AdaFuseLLM, form: str) -> None:
        calling = llm.model_copy(update={"pydantic_program_mode": PydanticProgramMode.FUNCTION})
        whole = self.predict(calling, form)[-1]
        assert isinstance(whole, Person)

    def test_a_structured_model_chats(self, llm: AdaFuseLLM, form: str) -> None:
        model = llm.as_structured_llm(Person)
        said = [ChatMessage(role="user", content="Describe Ada.")]
        last = ask(model, "chat", form, said)[-1]
        assert type(last.raw) is Person
        assert Person.model_validate_json(text_of(last)) == last.raw
        with pytest.raises(ConfigError, match="did you mean"):
            ask(model, "chat", form, said, max_token=3)

    @pytest.mark.parametrize("form", ["plain", "async"], indirect=True)
    def test_a_structured_model_completes(self, llm: AdaFuseLLM, form: str) -> None:
        # LlamaIndex's StructuredLLM has no completions that stream.
        last = ask(llm.as_structured_llm(Person), "complete", form, "Describe Ada.")[-1]
        assert Person.model_validate(json.loads(last.text)) == last.raw
