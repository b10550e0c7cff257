"""Counting is a question, not an answer: every part of a conversation has a number of tokens."""

from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)

from adafuse import Ensemble, PromptError
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import ChatAdaFuse
from chat_templates import GEMMA, MISTRAL, QWEN
from families import family

TALK = [
    SystemMessage("Be kind."),
    HumanMessage("one?"),
    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c"}]),
    ToolMessage("3", tool_call_id="c"),
    AIMessage("three"),
    HumanMessage("two?"),
    AIMessage("four"),
]


@pytest.mark.parametrize("template", [GEMMA, MISTRAL, QWEN, "{{ raise_exception('never') }}", ""])
def test_every_part_of_a_conversation_can_be_counted(template: str) -> None:
    """Counting is a question, not an answer: whatever the template wants to begin with."""
    member = LocalMember(*family("gemma3"), "strict", chat_template=template)
    chat = ChatAdaFuse(ensemble=Ensemble([member]))
    count = chat.get_num_tokens_from_messages
    assert count([]) == 0
    parts = [TALK[at:end] for at in range(len(TALK)) for end in range(at + 1, len(TALK) + 1)]
    assert all(count(part) > 0 for part in (*parts, [AIMessage("")], [HumanMessage("")]))
    for part in parts:
        assert count(part) <= count([*part, HumanMessage("and this?")])
    for strategy in ("first", "last"):
        kept = trim_messages(
            TALK, max_tokens=count(TALK) - 5, strategy=strategy, token_counter=chat
        )
        assert 0 < len(kept) < len(TALK)
        assert count(kept) <= count(TALK) - 5
    with pytest.raises(PromptError, match="members read text only"):
        count([HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])])


@pytest.mark.parametrize("budget", [12, 50, 399])
def test_a_message_is_trimmed_to_a_budget(budget: int) -> None:
    chat = ChatAdaFuse(ensemble=Ensemble([ScriptedMember("ok")]))
    long = [HumanMessage("a document\n" * 40)]  # LangChain splits at lines
    for strategy in ("first", "last"):
        (kept,) = trim_messages(
            long, max_tokens=budget, strategy=strategy, token_counter=chat, allow_partial=True
        )
        assert 0 < len(kept.content) <= budget
