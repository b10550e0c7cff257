"""What one answer has come to, in figures and names. Keeps no text of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from adafuse.errors import MemberError, TooFewMembersError
from adafuse.events import MemberUsage, Round
from adafuse.telemetry.summary import Summary, summarise

__all__ = ["AnswerRecord", "Failure"]


class Failure(NamedTuple):
    """A member that failed, the class of its error, and whether the answer went on without it."""

    member: str
    error_type: str
    phase: str  # "" if that is not known
    dropped: bool


@dataclass(slots=True)
class AnswerRecord:
    """The figures of one answer.

    Attributes:
        seconds: wall time from the first round asked for to the end, the consumer's included.
        decoding_seconds: wall time in which rounds were waited for.
        first_seconds: wall time to the first round; None before there is one.
        error: what ended the answer, if an error did.
        rounds: without texts.
    """

    seconds: float = 0.0
    decoding_seconds: float = 0.0
    first_seconds: float | None = None
    error: Exception | None = None
    rounds: list[Round] = field(default_factory=list)

    def add(self, round_: Round, seconds: float) -> None:
        """Count a round that was there after `seconds`."""
        if not self.rounds:
            self.first_seconds = seconds
        self.rounds.append(replace(round_, text="", candidates=(), margins={}))

    @property
    def outcome(self) -> str:
        """The finish reason; "error"; or "cancelled", when nobody wants the rest."""
        if self.error is not None:
            return "error"
        return (self.rounds[-1].finish_reason if self.rounds else None) or "cancelled"

    @property
    def failures(self) -> list[Failure]:
        """Of members, in order."""
        lost = [dropped for round_ in self.rounds for dropped in round_.dropped]
        failures = [Failure(d.member, _error_type(d.error), d.phase, True) for d in lost]
        error = self.error
        if isinstance(error, MemberError):
            failures.append(Failure(error.member, _error_type(error.reason), error.phase, False))
        elif isinstance(error, TooFewMembersError):
            counted = {failure.member for failure in failures}
            failures += [
                Failure(name, _error_type(reason), "", True)
                for name, reason in error.dropped.items()
                if name not in counted
            ]
        return failures

    @property
    def usage(self) -> Mapping[str, MemberUsage]:
        """By member; empty where the answer did not come to its end."""
        return (self.rounds[-1].usage if self.rounds else None) or {}

    @property
    def summary(self) -> Summary:
        """Rounds and words counted."""
        return summarise(self.rounds, seconds=self.seconds)


def _error_type(reason: str) -> str:
    """The class of an error that is written as "Class: message"."""
    return reason.partition(":")[0]
