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
from adafuse.events import MemberUsage, Round
from adafuse.serve.request import Ask, Served
from adafuse.telemetry.summary import summarise
from adafuse.tools import CallPiece, CallScanner, InvalidCall, Piece, TextPiece

__all__ = ["Choice", "Reply", "fingerprint"]

_FINISH = {"stop": "stop", "stop_string": "stop", "length": "length"}


def fingerprint(served: Served) -> str:
    """What answers depend on besides the request: members, settings and version."""
    told = repr((__version__, served.members, served.config))
    return f"fp_{hashlib.sha256(told.encode()).hexdigest()[:12]}"


class Choice:
    """The answer to one prompt.

    Args:
        index: of the prompt.
        ask: the request.

    Attributes:
        rounds: those read so far.
        text: of the answer, outside calls, so far.
        calls: tool calls so far, as a message has them.
    """

    def __init__(self, index: int, ask: Ask) -> None:
        self.index = index
        self.rounds: list[Round] = []
        self.text = ""
        self.calls: list[dict[str, Any]] = []
        self._scanner = CallScanner(ask.tools) if ask.tools else None
        self._tools = ask.tools
        self._at: dict[int, int] = {}  # from calls of the answer to calls that are told as such

    def feed(self, one: Round) -> Iterator[dict[str, Any]]:
        """What a round adds, as deltas of a message."""
        self.rounds.append(one)
        if self._scanner is None:
            pieces: list[Piece] = [TextPiece(one.text)]
        else:
            pieces = self._scanner.feed(one.text)
            if one.finish_reason is not None:
                pieces += self._scanner.finish()
        for piece in pieces:
            if isinstance(piece, CallPiece) and not self._is_text(piece):
                yield {"tool_calls": [self._call(piece)]}
                continue
            text = piece.text if isinstance(piece, TextPiece) else _written(piece)
            if text:
                self.text += text
                yield {"content": text}

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None while it goes on."""
        reason = self.rounds[-1].finish_reason if self.rounds else None
        if reason is None or self._scanner is None:
            return reason and _FINISH[reason]
        valid = [call for call in self._scanner.calls if not isinstance(call, InvalidCall)]
        cut = len(valid) < len(self._scanner.calls) and reason != "stop"
        return "tool_calls" if valid and not cut else _FINISH[reason]

    @property
    def message(self) -> dict[str, Any]:
        """The whole message."""
        called = {"tool_calls": self.calls} if self.calls else {}
        content = self.text if self.text or not self.calls else None
        return {"role": "assistant", "content": content, "refusal": None, **called}

    @property
    def usage(self) -> Mapping[str, MemberUsage]:
        """By member, once the answer has ended."""
        return (self.rounds[-1].usage if self.rounds else None) or {}

    def _is_text(self, piece: CallPiece) -> bool:
        """Whether a call is told as text: it is over before it can be told of which tool it is."""
        return piece.index not in self._at and piece.name not in self._tools

    def _call(self, piece: CallPiece) -> dict[str, Any]:
        if piece.index in self._at:
            at = self._at[piece.index]
            self.calls[at]["function"]["arguments"] += piece.arguments
            return {"index": at, "function": {"arguments": piece.arguments}}
        at = self._at[piece.index] = len(self.calls)
        head = {"id": f"call_{uuid.uuid4().hex}", "type": "function"}
        function = {"name": piece.name, "arguments": piece.arguments}
        self.calls.append({**head, "function": function})
        return {"index": at, **head, "function": dict(function)}


def _written(piece: CallPiece) -> str:
    return f"{piece.gap}{piece.invalid.text}" if piece.invalid is not None else ""


class Reply:
    """The answers to one request, in OpenAI's layout.

    Args:
        ask: the request.
        served: what it was asked of.
    """

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

    def feed(self, at: int, one: Round) -> None:
        """Read a round of a whole answer."""
        for _ in self.choices[at].feed(one):
            pass

    def whole(self, incomplete: Mapping[int, str]) -> dict[str, Any]:
        """All of it, once every answer has ended."""
        choices = [self._choice(one) for one in self.choices]
        details = self._details(incomplete) if self._ask.details else {}
        return {**self._head, "choices": choices, "usage": self.usage(), **details}

    def begin(self) -> Iterator[dict[str, Any]]:
        """The pieces before any words."""
        if self._ask.chat:
            for one in self.choices:
                yield self._piece(one, {"role": "assistant", "content": ""})

    def pieces(self, at: int, one: Round) -> Iterator[dict[str, Any]]:
        """What a round adds."""
        choice = self.choices[at]
        for delta in choice.feed(one):
            yield self._piece(choice, delta)

    def end(self, incomplete: Mapping[int, str]) -> Iterator[dict[str, Any]]:
        """The pieces behind the answers: why each ended, and what they cost."""
        for one in self.choices:
            last = one is self.choices[-1] and self._ask.details
            details = self._details(incomplete) if last else {}
            yield {**self._piece(one, {}, one.finish_reason), **details}
        if self._ask.include_usage:
            yield {**self._piece_head(), "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Tokens of all answers, as the first member counts them."""
        used = [one.usage[self._first] for one in self.choices if self._first in one.usage]
        prompt = sum(one.prompt_tokens for one in used)
        completion = sum(one.committed_tokens for one in used)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(one.reused_tokens for one in used)},
        }

    def _choice(self, one: Choice) -> dict[str, Any]:
        said = {"message": one.message} if self._ask.chat else {"text": one.text}
        return {
            "index": one.index,
            **said,
            "logprobs": None,
            "finish_reason": one.finish_reason,
        }

    def _piece_head(self) -> dict[str, Any]:
        return {**self._head, "object": "chat.completion.chunk"} if self._ask.chat else self._head

    def _piece(
        self, one: Choice, delta: Mapping[str, Any], reason: str | None = None
    ) -> dict[str, Any]:
        said = {"delta": delta} if self._ask.chat else {"text": delta.get("content", "")}
        choice = {"index": one.index, **said, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._ask.include_usage else {}
        return {**self._piece_head(), "choices": [choice], **usage}

    def _details(self, incomplete: Mapping[int, str]) -> dict[str, Any]:
        """Who wrote what, and who was lost."""
        rounds = [one for choice in self.choices for one in choice.rounds]
        names = {name for choice in self.choices for name in choice.usage}
        told = summarise(rounds, {})
        words = {**dict.fromkeys(sorted(names), 0), **told.words_by_member}
        details = {
            "words_by_member": words,
            "rounds": told.rounds,
            "unanimous": told.unanimous,
            "scored": told.scored,
            "forced": told.forced,
            "dropped": [asdict(lost) for one in rounds for lost in one.dropped],
            "incomplete": [incomplete.get(choice.index) for choice in self.choices],
        }
        return {"adafuse": details}
