"""Rounds as LlamaIndex responses, each of which holds the answer as far as it goes.

    a word's     the answer so far, and the word as `delta`; `additional_kwargs["round"]` describes
                 where it comes from
    the last     no delta; `raw` has the finish reason and the usage, `additional_kwargs["fusion"]`
                 the trace, which `adafuse_integrations.read_answer` reads

The response of a method that does not stream is the last one of the method that does.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from adafuse.tools.answer_parts import AnswerParts, CallPart
from adafuse_integrations._shared.answer_stream import DescribedPart

__all__ = ["Snapshot", "chat_response", "completion_response", "snapshots"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An answer as far as it goes.

    Attributes:
        text: outside calls, so far.
        delta: what is new in it.
        calls: so far; the arguments of one that is being written are JSON text.
        raw: the model's name; at the end also "finish_reason", "usage" and, if it is not what it
            must be, "incomplete". Plain values.
        info: for `additional_kwargs`.
        logprobs: at the end, if they are asked for: for each word its own and those of the best
            candidates; nothing for a word that has none.
    """

    text: str
    delta: str
    calls: tuple[ToolCallBlock, ...]
    raw: dict[str, Any]
    info: dict[str, Any]
    logprobs: list[list[LogProb]] | None = None


def snapshots(
    answer: Iterable[DescribedPart | dict[str, Any]], parts: AnswerParts, model_name: str
) -> Generator[Snapshot]:
    """Yield one per part of an answer of `read_parts`, and one at its end."""
    text, calls = "", _Calls(parts)
    for part in answer:
        raw: dict[str, Any] = {"model": model_name}
        if isinstance(part, DescribedPart):
            delta = part.text
            if part.call is not None and (refused := calls.feed(part.call)):
                # Text, so that nobody carries out a call that was cut or is broken.
                delta = part.call.gap + refused
            text += delta
            yield Snapshot(text, delta, calls.blocks(), raw, {"round": dict(part.source)})
            continue
        info = dict(part)
        raw |= {"finish_reason": info.pop("finish_reason"), "usage": info.pop("token_usage")}
        if "incomplete" in info:
            raw["incomplete"] = info.pop("incomplete")
        scores = info.get("logprobs")
        yield Snapshot(text, "", calls.blocks(), raw, info, scores and _logprobs(scores))


@dataclass
class _Calls:
    """Calls of an answer as they are written."""

    parts: AnswerParts
    _names: dict[str, str] = field(default_factory=dict)
    _written: dict[str, str] = field(default_factory=dict)

    def feed(self, part: CallPart) -> str:
        """Take a part; returns the text of the call if it turns out that it cannot be made."""
        if part.invalid is not None:
            self._names.pop(part.id, None)
            return part.invalid.text
        if part.name is not None:
            self._names[part.id] = part.name
        self._written[part.id] = self._written.get(part.id, "") + part.arguments
        return ""

    def blocks(self) -> tuple[ToolCallBlock, ...]:
        whole = self.parts.calls
        return tuple(
            ToolCallBlock(
                tool_call_id=id_,
                tool_name=name,
                tool_kwargs=whole[id_].arguments if id_ in whole else self._written[id_],
            )
            for id_, name in self._names.items()
        )


def _logprobs(scores: Mapping[str, Any]) -> list[list[LogProb]]:
    words = []
    for word in scores["content"]:
        entries = (word, *word["top_logprobs"]) if word["logprob"] is not None else ()
        words.append(
            [
                LogProb(token=e["token"], logprob=e["logprob"], bytes=e["bytes"])
                for e in entries
                if e["logprob"] is not None
            ]
        )
    return words


def completion_response(snapshot: Snapshot, *, streamed: bool) -> CompletionResponse:
    """A completion, with a delta if it is one of a stream."""
    return CompletionResponse(text=snapshot.text, **_of_both(snapshot, streamed))


def chat_response(snapshot: Snapshot, *, streamed: bool) -> ChatResponse:
    """An assistant's message; calls are blocks of it, and in OpenAI's form beside them."""
    texts = [TextBlock(text=snapshot.text)] if snapshot.text else []
    calls = [_openai_call(call) for call in snapshot.calls]
    message = ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[*texts, *snapshot.calls],
        additional_kwargs={"tool_calls": calls} if calls else {},
    )
    return ChatResponse(message=message, **_of_both(snapshot, streamed))


def _of_both(snapshot: Snapshot, streamed: bool) -> dict[str, Any]:
    return {
        "delta": snapshot.delta if streamed else None,
        "raw": snapshot.raw,
        "logprobs": snapshot.logprobs,
        "additional_kwargs": snapshot.info,
    }


def _openai_call(call: ToolCallBlock) -> dict[str, Any]:
    """Some of LlamaIndex looks for calls there, and there alone."""
    arguments = call.tool_kwargs
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": call.tool_name, "arguments": written}
    return {"id": call.tool_call_id, "type": "function", "function": function}
