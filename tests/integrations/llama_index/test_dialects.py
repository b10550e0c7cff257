"""What a model writes as a call, in whatever dialect, is one in LlamaIndex; the rest is text."""

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage

from adafuse_integrations.llama_index import AdaFuseLLM
from dialect_cases import GROUPS, KINDS, TOOLS, cases_of, ensemble_of


@pytest.mark.parametrize("group", GROUPS)
def test_calls_and_text(group: str) -> None:
    llm, slow = (AdaFuseLLM(ensemble=ensemble_of(kind), max_tokens=600) for kind in KINDS)
    for name, case in cases_of(group).items():
        asked = [ChatMessage(role="user", content=name)]
        options = {"tools": TOOLS, "parallel_tool_calls": case.parallel}
        response = llm.chat(asked, **options)
        *_, last = snapshots = list(slow.stream_chat(asked, **options))
        assert "".join(snapshot.delta or "" for snapshot in snapshots) == case.content, name
        for answer in (response, last):
            assert (answer.message.content or "") == case.content, name
            found = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
            calls = [(call.tool_name, call.tool_kwargs) for call in found]
            assert calls == [(call.name, call.arguments) for call in case.calls], name
