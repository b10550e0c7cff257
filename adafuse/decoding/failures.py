"""What follows when a member fails: an error that says so, or an answer that goes on without it.

Knows names, phases and exceptions; neither sessions nor threads.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence

from adafuse.config import DecodingConfig
from adafuse.errors import (
    AdaFuseWarning,
    ConfigError,
    MemberError,
    MemberLostError,
    MemberMemoryError,
    MemberTimeoutError,
    TooFewMembersError,
)
from adafuse.events import Dropped
from adafuse.memory import ran_out

__all__ = ["FailurePolicy", "check_floor"]

_LONGEST_REASON = 300  # characters
_log = logging.getLogger("adafuse.faults")  # the name that docs/telemetry.md gives


def check_floor(names: Sequence[str], config: DecodingConfig) -> None:
    """Raise ConfigError if more members must remain than there are."""
    if config.min_members > len(names):
        raise ConfigError(f"min_members is {config.min_members}, for {len(names)} members")


class FailurePolicy:
    """The members that failed during one answer, and what follows (`on_member_error`).

    `round_index` is 0 before the first round; `committed` is the answer text so far.
    """

    def __init__(self, weights: Mapping[str, float], config: DecodingConfig) -> None:
        self.drops = config.on_member_error == "drop"
        self.round_index = 0
        self.committed = ""
        self._floor = config.min_members
        self._left = dict(weights)
        self._reasons: dict[str, str] = {}
        self._unreported: list[Dropped] = []

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Take other weights, by the name of each member."""
        self._left = {name: weights[name] for name in self._left}

    def failed(self, name: str, phase: str, error: Exception) -> None:
        """Leave a member out from now on.

        MemberError where members that fail are not dropped, TooFewMembersError where fewer are left
        than must remain, or none whose scores count.
        """
        reason = _reason(error)
        if not self.drops:
            raise _kind(error)(name, phase, self.round_index, self.committed, reason) from error
        del self._left[name]
        self._reasons[name] = reason
        self._unreported.append(Dropped(name, self.round_index, phase, reason))
        _log.warning(
            "member %r dropped in round %d (%s): %s", name, self.round_index, phase, reason
        )
        if len(self._left) < self._floor or not any(self._left.values()):
            raise TooFewMembersError(
                len(self._left), self._floor, self._reasons, self.committed
            ) from error
        error.__traceback__ = None  # its frames hold the session, and what a forward computed

    def report(self) -> tuple[Dropped, ...]:
        """Those dropped since the last call; warns of them."""
        new, self._unreported = tuple(self._unreported), []
        for dropped in new:
            warnings.warn(
                f"member {dropped.member!r} failed in round {dropped.round_index} "
                f"({dropped.phase}) and was dropped: {dropped.error}; the answer goes on with "
                f"{', '.join(self._left)}",
                AdaFuseWarning,
                stacklevel=2,
            )
        return new


def _reason(error: Exception) -> str:
    message = " ".join(str(error).split())
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 1]}…"


def _kind(error: Exception) -> type[MemberError]:
    """The typed error of a member's own one."""
    if isinstance(error, TimeoutError):
        return MemberTimeoutError
    if isinstance(error, ConnectionError):
        return MemberLostError
    return MemberMemoryError if ran_out(error) else MemberError
