"""A standard suite for LlamaIndex models, which LlamaIndex does not have.

As strict as LangChain's for chat models, test for test where there is the same thing, over every
method in four forms: plain, stream, async and async stream. A test module derives from the classes
here and in `llama_index_tool_suite`, `llama_index_structured_suite` and `llama_index_engine_suite`,
and says which ensemble answers; nothing here depends on what the models say.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from adafuse import AnswerTimeoutError, ConfigError, Ensemble, PromptError
from adafuse_integrations.llama_index import AdaFuseLLM, read_answer
from llama_index_script import (
    FORMS,
    Person,
    ask,
    debugging,
    is_async,
    is_stream,
    listening,
    text_of,
)
from scripted import run

__all__ = ["AnswerSuite", "LlamaIndexSuite"]


class LlamaIndexSuite:
    """Derive from it, and set these.

    Attributes:
        ensemble: two members or more.
        override: names of some of them, joined by "+".
        prompt: to be answered; the answer must have words.
        max_tokens: of an answer in free text.
    """

    ensemble: Ensemble
    override: str
    prompt = "What is the capital of France? Tell me about it."
    max_tokens = 24

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return AdaFuseLLM(ensemble=self.ensemble, max_tokens=self.max_tokens)

    @pytest.fixture(params=FORMS)
    def form(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class AnswerSuite(LlamaIndexSuite):
    """`complete` and `chat`, each in four forms."""

    @pytest.fixture(params=["complete", "chat"])
    def method(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def ask(
        self, llm: Any, method: str, form: str, prompt: str | None = None, **kwargs: Any
    ) -> list[Any]:
        """All responses to a prompt, or to the one that is always asked."""
        asked = self.prompt if prompt is None else prompt
        return ask(llm, method, form, _said(asked) if method == "chat" else asked, **kwargs)

    def text(self, llm: Any, method: str, form: str, prompt: str | None = None, **kw: Any) -> str:
        return text_of(self.ask(llm, method, form, prompt, **kw)[-1])

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
        of_object = AdaFuseLLM(ensemble=self.ensemble, max_tokens=self.max_tokens, stop=[stop])
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
        date = self.text(llm, method, form, regex="[0-9]{4}-[0-9]{2}-[0-9]{2}")
        assert re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", date)
        assert self.text(llm, method, form, choices=["yes", "no"]) in ("yes", "no")
        grammar = 'start: "ab" ("c" | "d")'
        assert self.text(llm, method, form, grammar=grammar) in ("abc", "abd")
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
        told = AdaFuseLLM(ensemble=self.ensemble, max_tokens=8, system_prompt="Be very brief.")
        system = ChatMessage(role="system", content="Be very brief.")
        expected = llm.chat([system, *_said(self.prompt)], max_tokens=8)
        last = self.ask(told, method, form)[-1]
        assert text_of(last) == expected.message.content
        assert last.raw["usage"] == expected.raw["usage"]  # type: ignore[index]

    def test_conversations(self, llm: AdaFuseLLM, form: str) -> None:
        said = [
            ChatMessage(role="system", content="Answer briefly."),
            *_said("Hello!"),
            *_said("Are you there?"),
            ChatMessage(role="assistant", content="Yes."),
            *_said(self.prompt),
        ]
        before = [one.model_copy(deep=True) for one in said]
        assert text_of(ask(llm, "chat", form, said)[-1])
        assert said == before

    def test_prompt_templates(self, llm: AdaFuseLLM, form: str) -> None:
        chat = ChatPromptTemplate(message_templates=_said("{x}"))
        for template in (PromptTemplate("{x}"), chat):
            got = _predicted(llm, form, template, x=self.prompt)
            assert got == self.text(llm, "chat", "plain")

    # --- What is told of it ---

    def test_events(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        manager, ends = debugging()
        llm.callback_manager = manager
        with listening() as events:
            responses = self.ask(llm, method, form)
        kind = "Chat" if method == "chat" else "Completion"
        told = [name for name in events.names if name.startswith("LLM")]
        between = [f"LLM{kind}InProgressEvent"] * (len(responses) if is_stream(form) else 0)
        assert told == [f"LLM{kind}StartEvent", *between, f"LLM{kind}EndEvent"]
        end = next(one for one in events.seen if type(one).__name__ == told[-1])
        assert end.response == responses[-1]
        (payload,) = ends()
        assert payload["response" if method == "chat" else "completion"] == responses[-1]

    def test_exceptions_are_told(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        manager, ends = debugging()
        llm.callback_manager = manager
        with listening() as events, pytest.raises(AnswerTimeoutError) as raised:
            self.ask(llm, method, form, timeout=1e-9)
        (payload,) = ends()
        assert payload["exception"] is raised.value
        assert not [name for name in events.names if name.endswith("EndEvent") and "LLM" in name]
        if is_stream(form):
            told = [one for one in events.seen if type(one).__name__ == "ExceptionEvent"]
            assert [one.exception for one in told] == [raised.value]

    def test_token_counts(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        handler = TokenCountingHandler()
        llm.callback_manager = CallbackManager([handler])
        usage = self.ask(llm, method, form)[-1].raw["usage"]
        assert handler.prompt_llm_token_count == usage["prompt_tokens"]
        assert handler.completion_llm_token_count == usage["completion_tokens"]

    # --- Several at once, and some that are not read to the end ---

    @pytest.mark.parametrize("form", ["stream", "astream"], indirect=True)
    def test_a_stream_that_is_closed_lets_go(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        asked: Any = _said(self.prompt) if method == "chat" else self.prompt
        expected = self.text(llm, method, "plain")
        for read in (0, 1):
            if form == "stream":
                words: Any = getattr(llm, f"stream_{method}")(asked)
                for _ in range(read):
                    next(words)
                words.close()
                continue

            async def main(read: int = read) -> None:
                words = await getattr(llm, f"astream_{method}")(asked)
                for _ in range(read):
                    await anext(words)
                await words.aclose()

            run(main(), seconds=600)
        assert self.text(llm, method, "plain") == expected

    @pytest.mark.parametrize("form", ["async", "astream"], indirect=True)
    def test_cancelling_lets_go(self, llm: AdaFuseLLM, method: str, form: str) -> None:
        asked: Any = _said(self.prompt) if method == "chat" else self.prompt

        async def read() -> None:
            if form == "async":
                await getattr(llm, f"a{method}")(asked)
            else:
                async for _ in await getattr(llm, f"astream_{method}")(asked):
                    pass

        async def main() -> None:
            task = asyncio.create_task(read())
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        expected = self.text(llm, method, "plain")
        run(main(), seconds=600)
        assert self.text(llm, method, "plain") == expected

    def test_answers_at_once_are_those_given_alone(
        self, llm: AdaFuseLLM, method: str, form: str
    ) -> None:
        prompts = [self.prompt, f"{self.prompt} Be brief.", "Who are you?"]
        alone = [self.text(llm, method, "plain", one, max_tokens=6) for one in prompts]
        if not is_async(form):
            with ThreadPoolExecutor(3) as pool:
                jobs = [
                    pool.submit(self.text, llm, method, form, one, max_tokens=6) for one in prompts
                ]
            assert [one.result() for one in jobs] == alone
            return

        async def main() -> list[str]:
            return await asyncio.gather(*(self._atext(llm, method, form, one) for one in prompts))

        assert run(main(), seconds=600) == alone

    async def _atext(self, llm: AdaFuseLLM, method: str, form: str, prompt: str) -> str:
        asked: Any = _said(prompt) if method == "chat" else prompt
        if form == "async":
            return text_of(await getattr(llm, f"a{method}")(asked, max_tokens=6))
        words = await getattr(llm, f"astream_{method}")(asked, max_tokens=6)
        return "".join([one.delta async for one in words])

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


def _said(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=prompt)]


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
