"""What members read: system prompts, renderers and schemas, the same on every path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import BaseOutputParser

from adafuse import ConfigError, Prompt
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import ADA, FORMS, Person, ask, multiply, tools
from watched_members import Watch, watched

P = PromptTemplate("{q}")
SAID = [ChatMessage(role="user", content="hello")]
SYSTEM = "You are a cat."


def bracketed(messages: Sequence[ChatMessage]) -> str:
    return "".join(f"[{one.role.value}:{one.content}]" for one in messages)


def angled(prompt: str) -> str:
    return f"<{prompt}>"


def model(**fields: Any) -> tuple[AdaFuseLLM, Watch]:
    ensemble, watch = watched(json.dumps(ADA))
    return AdaFuseLLM(ensemble=ensemble, **fields), watch


def every_path(llm: AdaFuseLLM, form: str) -> None:
    """Ask "hello" in every way there is."""
    ask(llm, "complete", form, "hello")
    ask(llm, "chat", form, SAID)
    predict = {"plain": llm.predict, "stream": lambda *a, **kw: list(llm.stream(*a, **kw))}
    if form in predict:
        predict[form](P, q="hello")
    ask(llm, "structured_predict", form, Person, P, q="hello")
    ask(llm.as_structured_llm(Person), "chat", form, SAID)
    if form == "plain":
        SummaryIndex.from_documents([Document(text="hello")]).as_query_engine(llm=llm).query("q")
        SimpleChatEngine.from_defaults(llm=llm).chat("hello")


def system_of(prompt: Prompt) -> list[str]:
    return [str(one["content"]) for one in prompt.messages if one["role"] == "system"]


@pytest.mark.parametrize("form", FORMS)
def test_a_system_prompt_is_read_once_on_every_path(form: str) -> None:
    llm, watch = model(system_prompt=SYSTEM)
    every_path(llm, form)
    assert len(watch.prompts) >= 4
    for prompt in watch.prompts:
        assert system_of(prompt)[0].split("\n\n")[0] == SYSTEM
        assert sum(str(one["content"]).count(SYSTEM) for one in prompt.messages) == 1


@pytest.mark.parametrize("form", FORMS)
def test_messages_to_prompt_renders_every_path(form: str) -> None:
    llm, watch = model(messages_to_prompt=bracketed, system_prompt=SYSTEM)
    every_path(llm, form)
    for prompt in watch.prompts:
        assert prompt.format == "raw"
        assert str(prompt.text).startswith(f"[system:{SYSTEM}")
        assert str(prompt.text).count(SYSTEM) == 1
        assert "user:" in str(prompt.text)


@pytest.mark.parametrize("form", FORMS)
def test_completion_to_prompt_renders_every_path_of_strings(form: str) -> None:
    llm, watch = model(completion_to_prompt=angled, system_prompt=SYSTEM)
    ask(llm, "complete", form, "hello")
    ask(llm, "structured_predict", form, Person, P, q="hello")
    if form in ("plain", "stream"):
        assert list([llm.predict(P, q="hello")] if form == "plain" else llm.stream(P, q="hello"))
    told = [str(prompt.text) for prompt in watch.prompts]
    assert told[0] == f"{SYSTEM}\n\n<hello>"
    assert told[1].endswith(f"\n\n{SYSTEM}\n\n<hello>")
    assert '"age"' in told[1]  # the schema
    assert told[2:] in ([told[0]], [])
    assert all(prompt.format == "raw" for prompt in watch.prompts)
    # Messages are a chat all the same.
    ask(llm, "chat", form, SAID)
    assert watch.prompts[-1].text is None


def test_a_string_is_a_user_message_unless_it_is_raw_or_rendered() -> None:
    llm, watch = model()
    llm.complete("hello")
    llm.complete("hello", formatted=True)
    llm.complete("hello", prompt_format="raw")
    llm.complete("hello", prompt_format="chat")
    assert [one.format for one in watch.prompts] == ["auto", "raw", "raw", "chat"]
    assert {one.text for one in watch.prompts[:3]} == {"hello"}


def test_a_query_wrapper_and_an_output_parser() -> None:
    class Parser(BaseOutputParser):
        def parse(self, output: str) -> Any:
            return output.upper()

        def format(self, query: str) -> str:
            return f"{query} (in capitals)"

    llm, watch = model(query_wrapper_prompt=PromptTemplate("Q: {query_str}"))
    llm.complete("hello")
    llm.predict(P, q="hello")
    assert [one.text for one in watch.prompts] == ["Q: hello"] * 2
    llm, watch = model(output_parser=Parser())
    assert llm.predict(P, q="hello") == json.dumps(ADA).upper()
    assert watch.prompts[0].messages[-1]["content"] == "hello (in capitals)"


@pytest.mark.parametrize("form", FORMS)
def test_members_are_told_of_a_schema_where_there_is_a_place(form: str) -> None:
    schema = Person.model_json_schema()
    llm, watch = model(json_schema=schema)
    ask(llm, "chat", form, SAID)
    ask(llm, "complete", form, "hello")
    for prompt in watch.prompts:
        assert json.dumps(schema) in system_of(prompt)[0]
    ask(llm, "complete", form, "hello", schema_in_prompt=False)
    ask(llm, "complete", form, "hello", prompt_format="raw")
    assert [one.text for one in watch.prompts[2:]] == ["hello"] * 2
    rendered, watch = model(json_schema=schema, messages_to_prompt=bracketed)
    ask(rendered, "chat", form, SAID)
    assert str(watch.prompts[0].text).startswith("[system:Answer with JSON")
    with pytest.raises(ConfigError, match="schema_in_prompt"):
        ask(llm, "complete", form, "hello", formatted=True, schema_in_prompt=True)


def test_calls_are_shown_to_renderers() -> None:
    call = ToolCallBlock(tool_call_id="c", tool_name="multiply", tool_kwargs={"a": 1, "b": 2})
    seen: list[Sequence[ChatMessage]] = []

    def noting(messages: Sequence[ChatMessage]) -> str:
        seen.append(messages)
        return bracketed(messages)

    llm, _ = model(messages_to_prompt=noting, json_schema=Person)
    llm.chat([*SAID, ChatMessage(role="assistant", blocks=[call]), *SAID])
    assert seen[0][2].blocks == [call]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("method", "given", "match"),
    [
        ("complete", {"tools": []}, "no place for calls"),
        ("complete", {"strict": True}, "no place for calls"),
        ("complete", {"answer_after_tools": True}, "no place for calls"),
        ("complete", {"formatted": True, "prompt_format": "chat"}, "rendered already"),
        ("chat", {"prompt_format": "raw"}, "always a chat"),
        ("chat", {"strict": True}, "needs tools"),
        ("chat", {"parallel_tool_calls": True}, "needs tools"),
        ("chat", {"tool_choice": "any"}, "needs tools"),
        ("chat", {"top_logprobs": 2}, "needs logprobs"),
        ("chat", {"json_schema": Person, "response_format": {"type": "json_object"}}, "not both"),
    ],
)
def test_arguments_that_can_have_no_effect_are_refused(
    form: str, method: str, given: dict[str, Any], match: str
) -> None:
    llm, watch = model()
    with pytest.raises(ConfigError, match=match):
        ask(llm, method, form, SAID if method == "chat" else "hello", **given)
    assert not watch.sessions


@pytest.mark.parametrize("form", FORMS)
def test_contradictions_are_refused(form: str) -> None:
    llm, watch = model()
    given = {"tools": tools(multiply), "user_msg": "hello"}
    with pytest.raises(ConfigError, match="chat_history"):
        ask(llm, "chat_with_tools", form, messages=SAID, **given)
    with pytest.raises(ConfigError, match="tool_required"):
        ask(llm, "chat_with_tools", form, tool_required=True, tool_choice="none", **given)
    with pytest.raises(ConfigError, match="needs tools"):
        ask(llm, "chat_with_tools", form, tools=[], user_msg="hello", tool_required=True)
    with pytest.raises(ConfigError, match="one object"):
        ask(llm, "structured_predict", form, Person, P, {"tool_choice": "none"}, q="x")
    rendered, _ = model(messages_to_prompt=bracketed)
    with pytest.raises(ConfigError, match="no place for tools"):
        ask(rendered, "chat_with_tools", form, **given)
    assert not watch.sessions


def test_what_programs_of_llama_index_pass_is_taken() -> None:
    llm, _ = model()
    given = {"tool_required": True, "tool_choice": "required", "allow_parallel_tool_calls": False}
    assert llm.structured_predict(Person, P, given, q="x") == Person(**ADA)
    assert given == {
        "tool_required": True,
        "tool_choice": "required",
        "allow_parallel_tool_calls": False,
    }


@pytest.mark.parametrize("form", FORMS)
def test_an_agent_without_tools_just_answers(form: str) -> None:
    llm, watch = model()
    ask(llm, "chat_with_tools", form, tools=[], user_msg="hello", allow_parallel_tool_calls=True)
    assert not watch.prompts[0].tools
    assert watch.prompts[0].constraint is None


@pytest.mark.parametrize("form", FORMS)
def test_a_structured_answer_to_text_tells_the_schema_or_not(form: str) -> None:
    llm, watch = model(completion_to_prompt=angled)
    for told in (True, False):
        given = {"schema_in_prompt": told}
        ask(llm, "structured_predict", form, Person, P, given, q="hello")
    assert ['"age"' in str(prompt.text) for prompt in watch.prompts] == [True, False]
