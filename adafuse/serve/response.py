"""Rounds as choices of OpenAI's interface, in pieces or whole. Pieces add up to the whole.

Text and parts of tool calls are told as soon as they are sure. A call that is cut keeps what there
is of it; one whose tool cannot be told is text. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from adafuse._version import __version__
from adafuse.constraints.constraint import finished_check
from adafuse.events import MemberUsage, Round
from adafuse.serve.logprobs import WordLogprobs
from adafuse.serve.request import Ask, Served
from adafuse.telemetry.summary import summarise
from adafuse.tools.answer_parts import AnswerParts, CallPart

__all__ = ["Choice", "Reply", "fingerprint"]


def fingerprint(served: Served) -> str:
    """What answers depend on besides the request: members, settings and version."""
    basis = repr((__version__, served.members, served.config))
    return f"fp_{hashlib.sha256(basis.encode()).hexdigest()[:12]}"


class Choice:
    """The answer to one prompt: its text outside calls, and its tool calls by id, so far."""

    def __init__(self, index: int, ask: Ask) -> None:
        self.index = index
        self.text = ""
        self.calls: dict[str, dict[str, Any]] = {}
        check = finished_check(ask.prompts[index].tools) if ask.tools else None
        schema = ask.config.json_schema is not None
        self.parts = AnswerParts(ask.tools, by_word=False, check=check, canonical_only=schema)
        self.words = WordLogprobs(ask)
        self._tools = ask.tools

    def feed(self, round_: Round) -> Iterator[dict[str, Any]]:
        """What a round adds, as deltas of a message."""
        self.words.feed(round_)
        for part in self.parts.feed(round_):
            call, text = part.call, part.text
            if call is not None and (call.id in self.calls or call.name in self._tools):
                yield {"tool_calls": [self._call(call)]}
                continue
            if call is not None and call.invalid is not None:  # over before its tool can be told
                text = call.gap + call.invalid.text
            if text:
                self.text += text
                yield {"content": text}

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None while it goes on."""
        reason = self.parts.finish_reason
        if reason == "stop" and self.calls:
            return "tool_calls"  # as they are told, though none of them can be carried out
        return "stop" if reason == "stop_string" else reason

    @property
    def message(self) -> dict[str, Any]:
        """The whole message."""
        called = {"tool_calls": list(self.calls.values())} if self.calls else {}
        content = self.text if self.text or not self.calls else None
        return {"role": "assistant", "content": content, "refusal": None, **called}

    @property
    def usage(self) -> Mapping[str, MemberUsage]:
        """By member, once the answer has ended."""
        return (self.parts.last.usage if self.parts.last is not None else None) or {}

    def _call(self, part: CallPart) -> dict[str, Any]:
        function = {"name": part.name, "arguments": part.arguments}
        if part.id in self.calls:
            self.calls[part.id]["function"]["arguments"] += part.arguments
            index = list(self.calls).index(part.id)
            return {"index": index, "function": {"arguments": part.arguments}}
        call = {"id": part.id, "type": "function", "function": function}
        self.calls[part.id] = call
        return {"index": len(self.calls) - 1, **call, "function": dict(function)}


class Reply:
    """The answers to one request, in OpenAI's layout."""

    def __init__(self, ask: Ask, served: Served) -> None:
        self.choices = [Choice(at, ask) for at in range(len(ask.prompts))]
        self._ask = ask
        self._first = served.members[ask.chosen[0]]
        kind, mark = ("chat.completion", "chatcmpl") if ask.chat else ("text_completion", "cmpl")
        self._head = {
            "id": f"{mark}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": ask.model,
            "system_fingerprint": fingerprint(served),
        }

    def whole(self, incomplete: Mapping[int, str]) -> dict[str, Any]:
        """All of it, once every answer has ended."""
        choices = [self._choice(choice) for choice in self.choices]
        details = self._details(incomplete) if self._ask.details else {}
        return {**self._head, "choices": choices, "usage": self.usage(), **details}

    def begin(self) -> Iterator[dict[str, Any]]:
        """The pieces before any words."""
        if self._ask.chat:
            for choice in self.choices:
                yield self._piece(choice, {"role": "assistant", "content": ""})

    def pieces(self, at: int, round_: Round) -> Iterator[dict[str, Any]]:
        """What a round adds."""
        choice = self.choices[at]
        for delta in choice.feed(round_):
            yield self._piece(choice, delta)

    def end(self, incomplete: Mapping[int, str]) -> Iterator[dict[str, Any]]:
        """The pieces behind the answers: why each ended, and what they cost."""
        for choice in self.choices:
            last = choice is self.choices[-1] and self._ask.details
            details = self._details(incomplete) if last else {}
            yield {**self._piece(choice, {}, choice.finish_reason), **details}
        if self._ask.include_usage:
            yield {**self._piece_head(), "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Tokens of all answers, as the first member counts them."""
        usages = [choice.usage for choice in self.choices]
        used = [usage[self._first] for usage in usages if self._first in usage]
        prompt = sum(usage.prompt_tokens for usage in used)
        completion = sum(usage.committed_tokens for usage in used)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(usage.reused_tokens for usage in used)},
        }

    def _choice(self, choice: Choice) -> dict[str, Any]:
        said = {"message": choice.message} if self._ask.chat else {"text": choice.text}
        reason = choice.finish_reason
        words = choice.words.whole()
        return {"index": choice.index, **said, "logprobs": words, "finish_reason": reason}

    def _piece_head(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk"} if self._ask.chat else self._head

    def _piece(
        self, answer: Choice, delta: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        said = {"delta": delta} if self._ask.chat else {"text": delta.get("content", "")}
        words = answer.words.take()
        choice = {"index": answer.index, **said, "logprobs": words, "finish_reason": reason}
        usage = {"usage": None} if self._ask.include_usage else {}
        return {**self._piece_head(), "choices": [choice], **usage}

    def _details(self, incomplete: Mapping[int, str]) -> dict[str, Any]:
        """Who wrote what, and who was lost."""
        rounds = [round_ for choice in self.choices for round_ in choice.parts.rounds]
        names = {name for choice in self.choices for name in choice.usage}
        summary = summarise(rounds, {})
        words = {**dict.fromkeys(sorted(names), 0), **summary.words_by_member}
        counts = ("rounds", "unanimous", "scored", "forced")
        details = {
            "words_by_member": words,
            **{name: getattr(summary, name) for name in counts},
            "dropped": [asdict(lost) for round_ in rounds for lost in round_.dropped],
            "incomplete": [incomplete.get(choice.index) for choice in self.choices],
        }
        return {"adafuse": details}
