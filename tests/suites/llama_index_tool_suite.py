"""The part of the standard suite for LlamaIndex models that is about tools, in four forms."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

from adafuse import ConfigError, NoToolCallError, PromptError
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import ask, is_stream, look_up, multiply, now, text_of, tools
from llama_index_suite import LlamaIndexSuite

__all__ = ["ToolSuite"]

ASKED = "Call multiply for 6 and 7."


class ToolSuite(LlamaIndexSuite):
    """`chat_with_tools` in four forms, and what is made of its calls."""

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return self.model(max_tokens=96)

    def ask(
        self, llm: AdaFuseLLM, form: str, *, given: Any = None, asked: str = ASKED, **kwargs: Any
    ) -> list[ChatResponse]:
        shown = tools(multiply) if given is None else given
        return ask(llm, "chat_with_tools", form, tools=shown, user_msg=asked, **kwargs)

    def test_a_call_that_must_be_made(self, llm: AdaFuseLLM, form: str) -> None:
        last = self.ask(llm, form, tool_required=True)[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert call.tool_name == "multiply"
        assert set(call.tool_kwargs) == {"a", "b"}
        assert all(isinstance(one, int) for one in call.tool_kwargs.values())
        assert last.raw["finish_reason"] == "tool_calls"  # type: ignore[index]
        again = self.ask(llm, "plain", tool_required=True)[-1]
        assert _same_calls(llm, last) == _same_calls(llm, again)

    def test_one_of_several_tools(self, llm: AdaFuseLLM, form: str) -> None:
        last = self.ask(llm, form, given=tools(), tool_required=True)[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert call.tool_name in ("multiply", "look_up", "now")
        by_name = {one.metadata.name: one for one in tools()}
        assert not by_name[call.tool_name].call(**call.tool_kwargs).is_error

    def test_a_tool_that_is_chosen(self, llm: AdaFuseLLM, form: str) -> None:
        for choice in ("now", {"type": "function", "function": {"name": "now"}}):
            last = self.ask(llm, form, given=tools(), asked="Call now.", tool_choice=choice)[-1]
            (call,) = llm.get_tool_calls_from_response(last)
            assert (call.tool_name, call.tool_kwargs) == ("now", {})

    def test_no_tool_under_none(self, llm: AdaFuseLLM, form: str) -> None:
        responses = self.ask(llm, form, tool_choice="none", max_tokens=16)
        for one in responses:
            assert not llm.get_tool_calls_from_response(one, error_on_no_tool_call=False)
        with pytest.raises(NoToolCallError):
            llm.get_tool_calls_from_response(responses[-1])

    def test_calls_on_every_chunk(self, llm: AdaFuseLLM, form: str) -> None:
        responses = self.ask(llm, form, tool_required=True)
        names, seen = [], {}
        for one in responses:
            calls = llm.get_tool_calls_from_response(one, error_on_no_tool_call=False)
            assert all(isinstance(call, ToolSelection) for call in calls)
            names.append([call.tool_name for call in calls])
            for call in calls:  # what has been there stays, under one id
                assert seen.get(call.tool_id, {}).keys() <= call.tool_kwargs.keys()
                seen[call.tool_id] = call.tool_kwargs
        assert names[-1] == ["multiply"]
        if is_stream(form):
            assert len(responses) > 2
            assert names.index(["multiply"]) < len(names) - 1
            assert "".join(one.delta or "" for one in responses) == text_of(responses[-1])

    def test_several_calls_only_where_allowed(self, llm: AdaFuseLLM, form: str) -> None:
        asked = {"given": tools(), "asked": "Call multiply for 6 and 7, and call now."}
        for allowed, most in ((False, 1), (True, 8)):
            last = self.ask(
                llm, form, tool_required=True, allow_parallel_tool_calls=allowed, **asked
            )[-1]
            calls = llm.get_tool_calls_from_response(last)
            assert 1 <= len(calls) <= most
            assert len({call.tool_id for call in calls}) == len(calls)

    def test_results_with_their_ids(self, llm: AdaFuseLLM, form: str) -> None:
        called = self.ask(llm, "plain", tool_required=True)[-1]
        (call,) = llm.get_tool_calls_from_response(called)
        result = ChatMessage(
            role="tool", content="42", additional_kwargs={"tool_call_id": call.tool_id}
        )
        history = [ChatMessage(role="user", content=ASKED), called.message, result]
        before = [one.model_copy(deep=True) for one in history]
        last = ask(
            llm, "chat_with_tools", form, tools=tools(), chat_history=history,
            tool_choice="none", max_tokens=12,
        )[-1]  # fmt: skip
        assert text_of(last)
        assert history == before

    def test_an_answer_to_a_result_calls_no_tool_again(self, llm: AdaFuseLLM, form: str) -> None:
        settled = llm.model_copy(update={"answer_after_tools": True, "max_tokens": 12})
        call = ToolCallBlock(tool_call_id="c1", tool_name="multiply", tool_kwargs={"a": 6, "b": 7})
        history = [
            ChatMessage(role="user", content=ASKED),
            ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", content="42", additional_kwargs={"tool_call_id": "c1"}),
        ]
        last = ask(settled, "chat_with_tools", form, tools=tools(), chat_history=history)[-1]
        assert not llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
        assert text_of(last)

    def test_responses_are_plain(self, llm: AdaFuseLLM, form: str) -> None:
        for one in self.ask(llm, form, tool_required=True):
            assert json.loads(json.dumps(one.raw)) == one.raw
            assert pickle.loads(pickle.dumps(one)) == one
            assert ChatResponse.model_validate_json(one.model_dump_json()).message == one.message

    def test_tools_are_called(self, llm: AdaFuseLLM) -> None:
        done = llm.predict_and_call(tools(multiply), ASKED, tool_required=True)
        assert isinstance(done.sources[0].raw_output, int)
        again = asyncio.run(llm.apredict_and_call(tools(multiply), ASKED, tool_required=True))
        assert again.response == done.response

    def test_wrong_tools_and_choices(self, llm: AdaFuseLLM, form: str) -> None:
        with pytest.raises(PromptError, match="tool 0"):
            self.ask(llm, form, given=[7])
        with pytest.raises(ConfigError, match="did you mean 'multiply'"):
            self.ask(llm, form, tool_choice="multiplx")
        with pytest.raises(ConfigError, match="did you mean 'max_tokens'"):
            self.ask(llm, form, max_token=3)

    def test_names_stay_as_they_are(self, llm: AdaFuseLLM, form: str) -> None:
        tool = FunctionTool.from_defaults(now, name="the.clock", description="Tells the time.")
        last = self.ask(llm, form, given=[tool], asked="The time?", tool_choice="the.clock")[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert call.tool_name == "the.clock"

    def test_text_in_any_script(self, llm: AdaFuseLLM, form: str) -> None:
        asked = "Call look_up for '世界'."
        last = self.ask(llm, form, given=tools(look_up), asked=asked, tool_required=True)[-1]
        (call,) = llm.get_tool_calls_from_response(last)
        assert isinstance(call.tool_kwargs["word"], str)


def _same_calls(llm: AdaFuseLLM, response: ChatResponse) -> list[tuple[str, Any]]:
    """Calls without their ids, which are random."""
    calls = llm.get_tool_calls_from_response(response)
    return [(call.tool_name, call.tool_kwargs) for call in calls]
