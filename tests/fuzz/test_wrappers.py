"""Fuzzing of the LangChain and LlamaIndex classes; see fuzz_running."""

from __future__ import annotations

from typing import Any

from hypothesis import given, reject
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from llama_index.core.base.llms.types import (
    ChatMessage as IndexMessage,
)
from llama_index.core.base.llms.types import (
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import ValidationError

from adafuse import Ensemble
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.langchain._messages import core_messages
from adafuse_integrations.langchain._tools import core_tools
from adafuse_integrations.llama_index import AdaFuseLLM as IndexLLM
from adafuse_integrations.llama_index._messages import core_messages as index_messages
from adafuse_integrations.llama_index._tools import core_tools as index_tools
from fuzz_asking import ANSWERS, SETTINGS, SPECS, TOOLS
from fuzz_running import ends_well, fuzzed
from fuzz_values import ANY, ODD_TEXT, TEXT, json_values, maybe, near

_BLOCK = maybe(
    {
        "type": st.sampled_from(
            ["text", "text-plain", "json", "refusal", "output_text", "tool_call", "tool_use",
             "tool_call_chunk", "function_call", "invalid_tool_call", "reasoning", "thinking",
             "redacted_thinking", "image", "image_url"]
        )
    },
    {
        "text": TEXT,
        "refusal": TEXT,
        "json": json_values(),
        "id": TEXT,
        "call_id": TEXT,
        "name": TEXT,
        "args": st.one_of(st.dictionaries(TEXT, json_values()), TEXT),
        "input": st.one_of(st.dictionaries(TEXT, json_values()), TEXT),
        "arguments": TEXT,
        "reasoning": TEXT,
        "thinking": TEXT,
        "summary": st.lists(maybe({"text": TEXT}), max_size=2),
    },
)  # fmt: skip
_CONTENT = st.one_of(ODD_TEXT, st.lists(st.one_of(TEXT, _BLOCK), max_size=3), ANY)
_CALL = st.fixed_dictionaries(
    {
        "name": TEXT,
        "args": st.dictionaries(TEXT, st.one_of(json_values(), ANY), max_size=2),
        "id": st.one_of(st.none(), TEXT),
    }
)
_INVALID = st.fixed_dictionaries(
    {
        "name": st.one_of(st.none(), TEXT),
        "args": st.one_of(st.none(), TEXT),
        "id": st.one_of(st.none(), TEXT),
        "error": st.one_of(st.none(), TEXT),
    }
)
_KINDS: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    HumanMessage: {},
    SystemMessage: {},
    AIMessage: {
        "tool_calls": st.lists(_CALL, max_size=2),
        "invalid_tool_calls": st.lists(_INVALID, max_size=2),
        "additional_kwargs": st.dictionaries(
            st.sampled_from(["reasoning_content", "tool_calls", "function_call"]), ANY, max_size=2
        ),
    },
    ToolMessage: {"tool_call_id": TEXT, "status": st.sampled_from(["success", "error"])},
    FunctionMessage: {"name": TEXT},
    ChatMessage: {"role": st.one_of(TEXT, st.just("human"), st.just("user"))},
}


@st.composite
def langchain_message(draw: st.DrawFn) -> BaseMessage:
    """One that LangChain itself lets be made."""
    kind = draw(st.sampled_from(list(_KINDS)))
    fields = {name: draw(values) for name, values in _KINDS[kind].items()}
    if draw(st.booleans()):
        fields["name"] = draw(TEXT)
    try:
        return kind(content=draw(_CONTENT), **fields)  # type: ignore[no-any-return]
    except Exception:  # LangChain's own, before anything of ours
        reject()


@st.composite
def index_message(draw: st.DrawFn) -> IndexMessage:
    """One that LlamaIndex itself lets be made."""
    blocks = st.one_of(
        st.builds(TextBlock, text=ODD_TEXT),
        st.builds(ThinkingBlock, content=st.one_of(st.none(), TEXT)),
        st.builds(
            ToolCallBlock,
            tool_call_id=st.one_of(st.none(), TEXT),
            tool_name=TEXT,
            tool_kwargs=st.one_of(st.dictionaries(TEXT, json_values(), max_size=2), TEXT),
        ),
    )
    told = st.dictionaries(
        st.sampled_from(["tool_calls", "function_call", "tool_call_id", "name"]),
        st.one_of(ANY, st.lists(maybe({"function": maybe({"name": TEXT, "arguments": TEXT})}))),
        max_size=2,
    )
    try:
        return IndexMessage(
            role=draw(st.sampled_from(list(MessageRole))),
            blocks=draw(st.lists(blocks, max_size=3)),
            additional_kwargs=draw(told),
        )
    except Exception:  # LlamaIndex' own
        reject()


@fuzzed(0.05, 60)
@given(st.lists(langchain_message(), max_size=3))
def test_fuzz_langchain_messages(messages: list[BaseMessage]) -> None:
    with ends_well():
        read_prompt(core_messages(messages))


@fuzzed(0.025, 30)
@given(near(st.lists(st.one_of(ANY, TOOLS), max_size=2)))
def test_fuzz_langchain_tools(tools: Any) -> None:
    with ends_well():
        core_tools(tools if isinstance(tools, list) else [tools])


@fuzzed(0.05, 60)
@given(st.lists(index_message(), max_size=3))
def test_fuzz_llama_index_messages(messages: list[IndexMessage]) -> None:
    with ends_well():
        read_prompt(index_messages(messages))


@fuzzed(0.025, 30)
@given(st.one_of(ANY, TOOLS))
def test_fuzz_llama_index_tools(tools: Any) -> None:
    with ends_well():
        read_prompt([{"role": "user", "content": "x"}], tools=index_tools(tools))


def ensemble(answer: str) -> Ensemble:
    return Ensemble([ScriptedMember(answer, "first"), ScriptedMember("one two", "second")])


PLAIN = {
    {"max_new_tokens": "max_tokens"}.get(name, name): values
    for name, values in SETTINGS.items()
    if name not in ("json_schema", "regex", "grammar")
}
FIELDS = st.one_of(
    st.fixed_dictionaries({}, optional={key: near(one, 30) for key, one in PLAIN.items()}),
    st.fixed_dictionaries({}, optional=dict(list(PLAIN.items())[:6])),
)


@fuzzed(0.025, 25)
@given(ANSWERS, st.lists(langchain_message(), min_size=1, max_size=2), FIELDS)
def test_fuzz_chat_in_langchain(answer: str, messages: Any, fields: dict[str, Any]) -> None:
    with ends_well(ValidationError):
        message = ChatAdaFuse(ensemble=ensemble(answer)).invoke(messages, **fields)
        assert isinstance(message, AIMessage)
        assert isinstance(message.content, str)


@fuzzed(0.025, 25)
@given(ANSWERS, ODD_TEXT, FIELDS)
def test_fuzz_completion_in_langchain(answer: str, prompt: str, fields: dict[str, Any]) -> None:
    with ends_well(ValidationError):
        assert isinstance(AdaFuseLLM(ensemble=ensemble(answer), **fields).invoke(prompt), str)


@fuzzed(0.025, 25)
@given(ANSWERS, st.lists(index_message(), min_size=1, max_size=2), FIELDS)
def test_fuzz_chat_in_llama_index(answer: str, messages: Any, fields: dict[str, Any]) -> None:
    with ends_well(ValidationError):
        llm = IndexLLM(ensemble=ensemble(answer), **fields)
        assert llm.chat(messages).message.role is MessageRole.ASSISTANT


@fuzzed(0.025, 25)
@given(st.sampled_from([ChatAdaFuse, AdaFuseLLM, IndexLLM]), st.one_of(ANY, st.lists(SPECS)))
def test_fuzz_models_of_wrappers(kind: Any, models: Any) -> None:
    with ends_well(ValidationError):
        assert repr(kind(models=models))
