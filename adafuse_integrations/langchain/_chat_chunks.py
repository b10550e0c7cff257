"""Rounds as LangChain chat chunks, which add up to the message that `invoke` gives.

    a word's chunk   its text, or a fragment of a tool call, never both; `round` describes where it
                     comes from
    the first one    also model_name and model_provider, in its response metadata
    the last one     no text; finish_reason, the trace and the usage

Only one chunk says each thing, because LangChain's ways of adding chunks differ: some join strings
and lists, some take what comes last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ToolCallChunk,
    message_chunk_to_message,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from pydantic import Field

from adafuse.events import MemberUsage
from adafuse.tools.answer_parts import AnswerParts, CallPart
from adafuse_integrations._shared.answer_stream import DescribedPart

__all__ = ["ChatAnswerChunk", "chat_chunks", "whole_message"]


class ChatAnswerChunk(ChatGenerationChunk):
    """A chunk of an answer; callbacks get these.

    Attributes:
        round: what the round that it comes from did, in plain values; None in the last chunk. It is
            not part of the message: the last chunk has the whole trace.
    """

    round: dict[str, Any] | None = Field(default=None, exclude=True)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialised as a plain ChatGenerationChunk, so that LangChain can read it back."""
        return ChatGenerationChunk.lc_id()

    @property
    def says(self) -> bool:
        """Whether it adds to the answer; the last chunk does not."""
        return self.round is not None


def chat_chunks(
    answer: Iterable[DescribedPart | dict[str, Any]],
    parts: AnswerParts,
    metadata: dict[str, Any],
    *,
    blocks: bool,
) -> Iterator[ChatAnswerChunk]:
    """Yield a chunk for each part of an answer of `read_parts`, and one at its end.

    Response metadata are the first chunk's; content may be blocks, as in LangChain's version 1.
    """
    layout = _Layout(blocks)
    for part in answer:
        if isinstance(part, DescribedPart):
            message = layout.message(part, metadata)
            yield ChatAnswerChunk(message=message, round=dict(part.source))
            metadata = {}
            continue
        assert parts.last is not None  # it has ended
        last = AIMessageChunk(
            content=[] if blocks else "",
            response_metadata=metadata | part,
            usage_metadata=_usage(parts.last.usage or {}),
            chunk_position="last",
        )
        yield ChatAnswerChunk(message=last)


class _Layout:
    """Where the parts of an answer stand among the blocks of its content."""

    def __init__(self, blocks: bool) -> None:
        self._blocks = blocks
        self._next = 0
        self._text: int | None = None  # the text block that is being written
        self._calls: dict[int, int] = {}  # blocks of calls
        self._written: dict[int, str] = {}  # arguments of calls, as chunks have them

    def message(self, part: DescribedPart, metadata: dict[str, Any]) -> AIMessageChunk:
        content: Any = [] if self._blocks else ""
        calls = []
        if part.call is not None:
            calls = [self._call(part.call)]
        elif self._blocks:
            content = [{"type": "text", "text": part.text, "index": self._text_block()}]
        else:
            content = part.text
        return AIMessageChunk(content=content, tool_call_chunks=calls, response_metadata=metadata)

    def _text_block(self) -> int:
        if self._text is None:
            self._text, self._next = self._next, self._next + 1
        return self._text

    def _call(self, call: CallPart) -> ToolCallChunk:
        begins = call.index not in self._written
        if begins:
            self._text = None
            self._calls[call.index], self._next = self._next, self._next + 1
        written = self._written.get(call.index, "")
        fragment = call.arguments
        if call.invalid is not None:
            fragment = _refused(written, fragment or ("" if written else call.invalid.text))
        self._written[call.index] = written + fragment
        return tool_call_chunk(
            name=call.name,
            args=fragment,
            id=call.id if begins else None,
            index=self._calls[call.index] if self._blocks else call.index,
        )


def _refused(written: str, fragment: str) -> str:
    """The last fragment of an invalid call's arguments, such that LangChain sees it is invalid.

    LangChain completes JSON that is cut short, and would carry the call out.
    """
    # A bracket that closes nothing, within a string that is closed first.
    marks = ("", *(close + bracket for close in ("", '"', '\\"') for bracket in "]}"))
    return next(fragment + mark for mark in marks if not _accepted(written + fragment + mark))


def _accepted(arguments: str) -> bool:
    with suppress(ValueError):
        json.loads(arguments)
        return True
    with suppress(ValueError):
        return isinstance(parse_partial_json(arguments), dict)
    return False


def whole_message(chunks: Sequence[ChatAnswerChunk], parts: AnswerParts) -> AIMessage:
    """Add up all chunks of an answer; invalid calls say what is wrong with them."""
    first, *rest = (chunk.message for chunk in chunks)
    message = message_chunk_to_message(first + rest)
    assert isinstance(message, AIMessage)
    message.invalid_tool_calls = [
        invalid_tool_call(
            name=call.name,
            args=call.text if call.arguments is None else call.arguments,
            id=id_,
            error=call.error,
        )
        for id_, call in parts.invalid.items()
    ]
    return message


def _usage(usage: Mapping[str, MemberUsage]) -> UsageMetadata:
    """Tokens of all members together, each in its own; the details are by member."""
    read = {name: own.prompt_tokens for name, own in usage.items()}
    wrote = {name: own.committed_tokens for name, own in usage.items()}
    return UsageMetadata(
        input_tokens=sum(read.values()),
        output_tokens=sum(wrote.values()),
        total_tokens=sum(read.values()) + sum(wrote.values()),
        input_token_details=cast("InputTokenDetails", read),
        output_token_details=cast("OutputTokenDetails", wrote),
    )
