"""The part of the standard suite for LlamaIndex models that is about answers and their settings."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import jsonschema
import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from adafuse import AnswerTimeoutError, ConfigError, PromptError
from adafuse_integrations.llama_index import AdaFuseLLM, read_answer
from llama_index_script import Person, ask, is_stream, text_of
from llama_index_suite import MethodSuite, said
from watched_members import run

__all__ = ["AnswerSuite"]


class AnswerSuite(MethodSuite):
    """What is asked, with which settings, and what is answered."""

    # --- Answers ---

    def test_every_form_gives_the_same_text(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        last = self.ask(llm, method, form)[-1]
        assert isinstance(last, ChatResponse if method == "chat" else CompletionResponse)
        assert text_of(last) == self.text(llm, method, "plain")
        assert text_of(last)
        if isinstance(last, ChatResponse):
            assert last.message.role == "assistant"

    def test_deltas_are_words_and_add_up(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        responses = self.ask(llm, method, form)
        if not is_stream(form):
            assert [one.delta for one in responses] == [None]
            return
        text = ""
        for one in responses:
            text += one.delta
            assert text_of(one) == text
        *words, last = (one.delta for one in responses)
        assert len(words) > 1
        assert last == ""
        rounds = read_answer(responses[-1].additional_kwargs).rounds
        assert words == [word for one in rounds for word in one.words]

    def test_usage_is_plain_and_whole(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        responses = self.ask(llm, method, form)
        raw = responses[-1].raw
        assert raw["model"] == "+".join(one.name for one in self.ensemble.members)
        assert raw["finish_reason"] in ("stop", "length")
        usage = raw["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 0
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        for one in responses:
            assert json.loads(json.dumps(one.raw)) == one.raw
            assert pickle.loads(pickle.dumps(one)) == one
            assert type(one).model_validate_json(one.model_dump_json()) == one

    def test_trace(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        responses = self.ask(llm, method, form)
        answer = read_answer(json.loads(json.dumps(responses[-1].additional_kwargs)))
        assert answer.text == text_of(responses[-1])
        assert set(answer.usage) == {one.name for one in self.ensemble.members}
        for one in responses[:-1]:
            assert one.delta in one.additional_kwargs["round"]["words"]

    def test_scores(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        response = self.ask(llm, method, form, logprobs=True, top_logprobs=2)[-1]
        words = read_answer(response.additional_kwargs).text
        assert len(response.logprobs) == len(response.additional_kwargs["fusion"]["words"])
        assert all(one.logprob <= 0 for word in response.logprobs for one in word)
        assert {one[0].token for one in response.logprobs if one} <= set(_pieces(words))

    # --- Settings of a call ---

    def test_stop(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        whole = self.text(llm, method, "plain")
        stop = whole.split()[-1]
        expected = whole[: whole.index(stop)]
        assert self.text(llm, method, form, stop=[stop]) == expected
        of_object = self.model(stop=[stop])
        assert self.text(of_object, method, form) == expected

    def test_max_tokens(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        last = self.ask(llm, method, form, max_tokens=2)[-1]
        usage = read_answer(last.additional_kwargs).usage
        assert usage[self.ensemble.members[0].name].committed_tokens <= 2
        assert last.raw["finish_reason"] == "length"

    def test_members_of_a_call(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        last = self.ask(llm, method, form, model=self.override)[-1]
        assert last.raw["model"] == self.override
        assert text_of(last) == self.text(llm, method, "plain", model=self.override)
        with pytest.raises(ConfigError, match="unknown member"):
            self.ask(llm, method, form, model="nobody")

    def test_a_seed_repeats_an_answer(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        settings = {"temperature": 1.0, "seed": 7}
        expected = self.text(llm, method, "plain", **settings)
        assert self.text(llm, method, form, **settings) == expected

    def test_unknown_arguments_are_refused(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        with pytest.raises(ConfigError, match="did you mean 'temperature'"):
            self.ask(llm, method, form, temprature=1)
        with pytest.raises(ConfigError, match="branches"):
            self.ask(llm, method, form, branches=0)

    def test_a_limit_of_time(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        with pytest.raises(AnswerTimeoutError):
            self.ask(llm, method, form, timeout=1e-9)

    def test_json_schema(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        asked = {"prompt": "Describe a person.", "max_tokens": 60}
        text = self.text(llm, method, form, json_schema=Person, **asked)
        jsonschema.validate(json.loads(text), Person.model_json_schema())
        described = {"schema": Person.model_json_schema()}
        told = {"type": "json_schema", "json_schema": described}
        assert self.text(llm, method, form, response_format=told, **asked) == text

    def test_other_forms(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        given: dict[str, Any] = {"max_tokens": 24}
        date = self.text(llm, method, form, regex="[0-9]{4}-[0-9]{2}-[0-9]{2}", **given)
        assert re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", date)
        assert self.text(llm, method, form, choices=["yes", "no"], **given) in ("yes", "no")
        grammar = 'start: "ab" ("c" | "d")'
        assert self.text(llm, method, form, grammar=grammar, **given) in ("abc", "abd")
        with pytest.raises(ConfigError):
            self.text(llm, method, form, json_schema={"not": {"type": "string"}})

    # --- What is asked ---

    def test_what_cannot_be_asked(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        with pytest.raises(PromptError):
            self.ask(llm, method, form, "")
        wrong: Any = 7 if method == "complete" else "Hello!"
        with pytest.raises((ConfigError, PromptError)):
            ask(llm, method, form, wrong)

    def test_unicode(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        prompt = "你好，世界! Ünïcödé 😀 <|im_end|> {braces} \u0301\n\ttabs"
        expected = self.text(llm, method, "plain", prompt)
        assert self.text(llm, method, form, prompt) == expected

    def test_a_system_prompt_is_read_once(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        told = self.model(max_tokens=8, system_prompt="Be very brief.")
        system = ChatMessage(role="system", content="Be very brief.")
        expected = llm.chat([system, *said(self.prompt)], max_tokens=8)
        last = self.ask(told, method, form)[-1]
        assert text_of(last) == expected.message.content
        assert last.raw["usage"] == expected.raw["usage"]  # type: ignore[index]

    def test_conversations(self, llm: AdaFuseLLM, form: str) -> None:
        conversation = [
            ChatMessage(role="system", content="Answer briefly."),
            *said("Hello!"),
            *said("Are you there?"),
            ChatMessage(role="assistant", content="Yes."),
            *said(self.prompt),
        ]
        before = [one.model_copy(deep=True) for one in conversation]
        assert text_of(ask(llm, "chat", form, conversation)[-1])
        assert conversation == before

    def test_prompt_templates(self, llm: AdaFuseLLM, form: str) -> None:
        chat = ChatPromptTemplate(message_templates=said("{x}"))
        for template in (PromptTemplate("{x}"), chat):
            got = _predicted(llm, form, template, x=self.prompt)
            assert got == self.text(llm, "chat", "plain")

    # --- What it is ---

    def test_it_is_a_model_of_both_kinds(self, llm: AdaFuseLLM) -> None:
        assert isinstance(llm, CustomLLM)
        assert isinstance(llm, FunctionCallingLLM)
        assert resolve_llm(llm) is llm
        metadata = llm.metadata
        assert metadata.is_chat_model
        assert metadata.is_function_calling_model
        assert metadata.num_output == self.max_tokens
        assert metadata.context_window > self.max_tokens
        before = Settings._llm
        try:
            Settings.llm = llm
            assert Settings.llm is llm
        finally:
            Settings._llm = before


def _pieces(text: str) -> list[str]:
    """Every part of a text that words could be."""
    return [text[at:end] for at in range(len(text)) for end in range(at, len(text) + 1)]


def _predicted(llm: AdaFuseLLM, form: str, template: Any, **values: str) -> str:
    if form == "plain":
        return llm.predict(template, **values)
    if form == "stream":
        return "".join(llm.stream(template, **values))

    async def main() -> str:
        if form == "async":
            return await llm.apredict(template, **values)
        return "".join([word async for word in await llm.astream(template, **values)])

    return run(main(), seconds=600)
