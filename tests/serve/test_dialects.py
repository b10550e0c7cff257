"""What a model writes as a call, in whatever dialect, is one for clients of the server."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from dialect_cases import GROUPS, KINDS, STOCK, TOOLS, cases_of, ensemble_of
from serve_script import ask
from serve_setup import Running, serving


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Generator[Running]:
    with serving(ensemble_of(request.param)) as running:
        yield running


def streamed(chunks: Any) -> tuple[str, list[list[str]], str | None]:
    """The text of a stream, the name and arguments of each of its calls, and why it ended."""
    content, calls, reason = "", dict[int, list[str]](), None
    for choice in (chunk.choices[0] for chunk in chunks):
        content += choice.delta.content or ""
        for part in choice.delta.tool_calls or ():
            if part.id is not None:
                calls[part.index] = [part.function.name, ""]
            calls[part.index][1] += part.function.arguments
        reason = choice.finish_reason or reason
    return content, list(calls.values()), reason


@pytest.mark.parametrize("group", GROUPS)
def test_calls_and_text(server: Running, group: str) -> None:
    for name, case in cases_of(group).items():
        options = {"tools": TOOLS, "parallel_tool_calls": case.parallel, "max_tokens": 600}
        choice = ask(server, name, **options).choices[0]
        called = [call.function for call in choice.message.tool_calls or ()]
        whole = (
            choice.message.content or "",
            [[call.name, call.arguments] for call in called],
            choice.finish_reason,
        )
        assert streamed(ask(server, name, **options, stream=True)) == whole, name
        content, calls, reason = whole
        assert content == case.content, name
        wanted = [(call.name, call.arguments) for call in case.calls]
        assert [(name, json.loads(arguments)) for name, arguments in calls] == wanted, name
        assert reason == ("tool_calls" if calls else "stop"), name


@pytest.mark.parametrize("group", GROUPS[:-1])
def test_other_frameworks_get_them_too(server: Running, group: str) -> None:
    chat = ChatOpenAI(base_url=server.url, api_key="none", model="adafuse")
    message = chat.bind_tools(TOOLS).invoke(f"{group}: one call")
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [
        (STOCK.name, STOCK.arguments)
    ]
    assert message.content == ""
    llm = OpenAILike(
        api_base=server.url,
        api_key="none",
        model="adafuse",
        is_chat_model=True,
        is_function_calling_model=True,
    )

    def stock_level(fruit: str) -> int:
        """How many crates of a fruit there are."""
        return len(fruit)

    tools = [FunctionTool.from_defaults(stock_level)]
    response = llm.chat_with_tools(tools, ChatMessage(f"{group}: text before"))
    assert response.message.content == "Let me look."
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == (STOCK.name, STOCK.arguments)
