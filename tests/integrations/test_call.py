"""A call is read once: one configuration, and the members that answer are looked up once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.tools import tool
from llama_index.core.base.llms.types import ChatMessage

from adafuse import DecodingConfig, Ensemble
from adafuse.testing import ScriptedMember
from adafuse_integrations._shared import fields
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM as IndexLLM


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often configurations are built, and members looked up."""
    counts: Counter[str] = Counter()
    check, look_up = DecodingConfig.__post_init__, fields.answering

    def counted_check(config: DecodingConfig) -> None:
        counts["configurations"] += 1
        check(config)

    def counted_look_up(names: Any, model: Any) -> Any:
        counts["members"] += 1
        return look_up(names, model)

    monkeypatch.setattr(DecodingConfig, "__post_init__", counted_check)
    monkeypatch.setattr(fields, "answering", counted_look_up)
    return counts


def two() -> Ensemble:
    return Ensemble([ScriptedMember("one two", name) for name in ("a", "b")])


async def _astream(llm: Any, prompt: Any, **given: Any) -> None:
    async for _ in llm.astream(prompt, **given):
        pass


LANGCHAIN: dict[str, Callable[..., Any]] = {
    "invoke": lambda llm, **given: llm.invoke("p", **given),
    "ainvoke": lambda llm, **given: asyncio.run(llm.ainvoke("p", **given)),
    "stream": lambda llm, **given: list(llm.stream("p", **given)),
    "astream": lambda llm, **given: asyncio.run(_astream(llm, "p", **given)),
    "batch": lambda llm, **given: llm.batch(["p", "q", "r"], **given),
    "abatch": lambda llm, **given: asyncio.run(llm.abatch(["p", "q"], **given)),
    "bind": lambda llm, **given: llm.bind(**given).invoke("p"),
}
GIVEN: list[dict[str, Any]] = [
    {},
    {"max_tokens": 9, "temperature": 0.5, "seed": 1},
    {"stop": [" two"], "model": "b"},
    {"stop": []},
]


@pytest.mark.parametrize("given", GIVEN, ids="+".join)
@pytest.mark.parametrize("how", LANGCHAIN)
@pytest.mark.parametrize("kind", [AdaFuseLLM, ChatAdaFuse])
def test_langchain_reads_a_call_once(
    kind: Any, how: str, given: dict[str, Any], read: Counter[str]
) -> None:
    llm = kind(ensemble=two(), cache=InMemoryCache())
    _ = llm._serialized  # what callbacks are told of a model is worked out once for all calls
    read.clear()
    LANGCHAIN[how](llm, **given)
    assert read == {"configurations": 1, "members": 1}


@pytest.mark.parametrize(
    "given", [{"tools": [add]}, {"response_format": {"type": "json_object"}}], ids="+".join
)
def test_tools_and_forms_are_no_second_call(given: dict[str, Any], read: Counter[str]) -> None:
    llm = ChatAdaFuse(ensemble=two(), keep_incomplete=True)
    _ = llm._serialized
    read.clear()
    llm.invoke("p", **given)
    assert read == {"configurations": 1, "members": 1}


LLAMA_INDEX: dict[str, Callable[..., Any]] = {
    "complete": lambda llm, **given: llm.complete("p", **given),
    "acomplete": lambda llm, **given: asyncio.run(llm.acomplete("p", **given)),
    "stream_complete": lambda llm, **given: list(llm.stream_complete("p", **given)),
    "chat": lambda llm, **given: llm.chat([ChatMessage(content="p")], **given),
    "stream_chat": lambda llm, **given: list(llm.stream_chat([ChatMessage(content="p")], **given)),
}


@pytest.mark.parametrize("given", GIVEN, ids="+".join)
@pytest.mark.parametrize("how", LLAMA_INDEX)
def test_llama_index_reads_a_call_once(how: str, given: dict[str, Any], read: Counter[str]) -> None:
    llm = IndexLLM(ensemble=two())
    read.clear()
    LLAMA_INDEX[how](llm, **given)
    assert read["configurations"] == 1  # members are named in the metadata, too


@pytest.mark.parametrize("kind", [AdaFuseLLM, ChatAdaFuse])
def test_settings_that_change_between_calls_are_read_again(kind: Any) -> None:
    llm = kind(ensemble=two())
    stop = [" two"]
    texts = [llm.invoke("p", stop=stop)]
    stop.clear()
    texts.append(llm.invoke("p", stop=stop))
    llm.stop = [" two"]
    texts.append(llm.invoke("p"))
    assert [getattr(text, "content", text) for text in texts] == ["one", "one two", "one"]
