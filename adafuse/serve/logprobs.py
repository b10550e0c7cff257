"""Logprobs of one answer in the layouts of OpenAI's two endpoints, whole or in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adafuse.events import Round
from adafuse.serve.request import Ask
from adafuse.telemetry.logprobs import word_logprobs

__all__ = ["WordLogprobs"]


class WordLogprobs:
    """The words of an answer with their logprobs, so far; nothing where none are asked for."""

    def __init__(self, ask: Ask) -> None:
        self._chat, self._top = ask.chat, ask.logprobs
        self._words: list[dict[str, Any]] = []
        self._taken = 0

    def feed(self, round_: Round) -> None:
        """Take the words of a round."""
        if self._top is not None:
            self._words += word_logprobs(round_, self._top)

    def take(self) -> dict[str, Any] | None:
        """Those that came since this was last asked; None if there are none."""
        begin, self._taken = self._taken, len(self._words)
        return self._layout(begin) if begin < self._taken else None

    def whole(self) -> dict[str, Any] | None:
        """All of them; None where none are asked for."""
        return self._layout(0) if self._top is not None else None

    def _layout(self, begin: int) -> dict[str, Any]:
        words = self._words[begin:]
        if self._chat:
            return {"content": words, "refusal": None}
        before = sum(len(word["token"]) for word in self._words[:begin])
        return {
            "tokens": [word["token"] for word in words],
            "token_logprobs": [word["logprob"] for word in words],
            "top_logprobs": [_by_token(word["top_logprobs"]) for word in words]
            if self._top
            else None,
            "text_offset": _offsets(before, words),
        }


def _by_token(entries: Sequence[dict[str, Any]]) -> dict[str, float]:
    """By text; of two candidates with one, such as a word with and without an end, the better."""
    return {entry["token"]: entry["logprob"] for entry in reversed(entries)}


def _offsets(before: int, words: Sequence[dict[str, Any]]) -> list[int]:
    """Where each word begins in the answer's text, in characters."""
    offsets = []
    for word in words:
        offsets.append(before)
        before += len(word["token"])
    return offsets
