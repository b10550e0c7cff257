"""What one answer has come to, in figures and names. Keeps no text of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adafuse.errors import MemberError, TooFewMembersError
from adafuse.events import MemberUsage, Round
from adafuse.telemetry.summary import Summary, summarise

__all__ = ["AnswerRecord", "Failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A member that failed.

    Attributes:
        member: its name.
        kind: the name of the error's class.
        phase: what it was doing; "" if that is not known.
        dropped: whether the answer was to go on without it.
    """

    member: str
    kind: str
    phase: str
    dropped: bool


@dataclass(slots=True)
class AnswerRecord:
    """The figures of one answer.

    Attributes:
        members: names, in order.
        seconds: wall time from the first round asked for to the end, the consumer's included.
        decoding_seconds: wall time in which rounds were waited for.
        first_seconds: wall time to the first round; None before there is one.
        outcome: the finish reason; "error"; or "cancelled", when nobody wants the rest.
        error: what ended the answer, if an error did.
        failures: of members, in order.
        not_finite: how many rounds each member was left out of.
    """

    members: tuple[str, ...]
    seconds: float = 0.0
    decoding_seconds: float = 0.0
    first_seconds: float | None = None
    outcome: str = "cancelled"
    error: BaseException | None = None
    failures: list[Failure] = field(default_factory=list)
    not_finite: dict[str, int] = field(default_factory=dict)
    _rounds: list[Round] = field(default_factory=list)

    def add(self, one: Round, seconds: float) -> None:
        """Count a round that was there after `seconds`."""
        if self.first_seconds is None:
            self.first_seconds = seconds
        if one.finish_reason is not None:
            self.outcome = one.finish_reason
        for lost in one.dropped:
            self.failures.append(Failure(lost.member, _kind(lost.error), lost.phase, True))
        for name in one.left_out:
            self.not_finite[name] = self.not_finite.get(name, 0) + 1
        self._rounds.append(replace(one, text="", candidates=(), margins={}))

    def failed(self, error: BaseException) -> None:
        """Note what ended the answer. Closing it, also from outside by an exit, cancels it."""
        if not isinstance(error, Exception):
            return
        self.outcome, self.error = "error", error
        if isinstance(error, MemberError):
            failure = Failure(error.member, _kind(error.reason), error.phase, False)
            self.failures.append(failure)
        elif isinstance(error, TooFewMembersError):
            known = {one.member for one in self.failures}
            self.failures += [
                Failure(name, _kind(reason), "", True)
                for name, reason in error.dropped.items()
                if name not in known
            ]

    @property
    def usage(self) -> Mapping[str, MemberUsage]:
        """By member; empty where the answer did not come to its end."""
        return (self._rounds[-1].usage if self._rounds else None) or {}

    @property
    def summary(self) -> Summary:
        """Rounds and words counted."""
        return summarise(self._rounds, seconds=self.seconds)


def _kind(reason: str) -> str:
    """The class of an error that is told as "Class: what it said"."""
    return reason.partition(":")[0]
