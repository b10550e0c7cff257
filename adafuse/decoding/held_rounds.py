"""Rounds that are held back while their text could begin a stop string (DESIGN 3.5).

Knows the texts of rounds and nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from adafuse.events import FinishReason, MemberUsage, Round, cut_rounds
from adafuse.text.stop_strings import StopScanner

__all__ = ["HeldRounds"]


class HeldRounds:
    """The rounds of one answer on their way to the caller; `stops` are left out of it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._scanner = StopScanner(tuple(dict.fromkeys(stops)))
        self._held: list[Round] = []
        self._released = 0  # characters of the answer text already passed on

    def add(
        self, round_: Round, until: int | None, *, pending: bool = False
    ) -> FinishReason | None:
        """Take the next round; return why the answer ends with it, if it does.

        From the character `until` of the answer on no stop string counts; while that is `pending`
        one may turn out to count after all, at the latest when the answer ends. Where a round ends
        the answer since a stop string was drafted, what came before of that goes too.
        """
        self._held.append(round_)
        if pending and round_.finish_reason is not None:
            until, pending = None, False
        cut = self._scanner.feed(round_.text, until=until, pending=pending)
        if cut is None and round_.finish_reason == "stop_string":
            cut = len(self._scanner.text) - (round_.candidates[round_.winner].stop or 0)
        if cut is None:
            return round_.finish_reason
        self._held = cut_rounds(self._held, cut - self._released)
        return "stop_string"

    def ready(self) -> Iterator[Round]:
        """Pass on the rounds none of whose text can be part of a stop string."""
        decided = len(self._scanner.text) - self._scanner.open_length
        while self._held and self._released + len(self._held[0].text) <= decided:
            round_ = self._held.pop(0)
            self._released += len(round_.text)
            yield round_

    def finish(self, reason: FinishReason, usage: Mapping[str, MemberUsage]) -> list[Round]:
        """All that is held; the last round says why the answer ended and what it cost."""
        self._held[-1] = replace(self._held[-1], finish_reason=reason, usage=usage)
        return self._held
