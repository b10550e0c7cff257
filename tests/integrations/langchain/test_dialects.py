"""What a model writes as a call, in whatever dialect, is one in LangChain; the rest is text."""

from __future__ import annotations

from typing import Any

import pytest

from adafuse_integrations.langchain import ChatAdaFuse
from dialect_cases import GROUPS, KINDS, TOOLS, cases_of, ensemble_of


@pytest.mark.parametrize("group", GROUPS)
def test_calls_and_text(group: str) -> None:
    chat, slow = (ChatAdaFuse(ensemble=ensemble_of(kind), max_tokens=600) for kind in KINDS)
    for name, case in cases_of(group).items():
        options = {"parallel_tool_calls": case.parallel}
        message = chat.bind_tools(TOOLS, **options).invoke(name)
        first, *rest = list(slow.bind_tools(TOOLS, **options).stream(name))
        streamed: Any = sum(rest, start=first)
        for answer in (message, streamed):
            assert answer.content == case.content, name
            calls = [(call["name"], call["args"]) for call in answer.tool_calls]
            assert calls == [(call.name, call.arguments) for call in case.calls], name
            assert answer.invalid_tool_calls == [], name
            reason = "tool_calls" if calls else "stop"
            assert answer.response_metadata["finish_reason"] == reason, name
