"""What is logged of answers, under the logger "adafuse.observing". No text of any."""

from __future__ import annotations

import logging

from adafuse.errors import MemberError
from adafuse.events import Round
from adafuse.telemetry.record import AnswerRecord

__all__ = ["tell_begin", "tell_end", "tell_round", "tells_figures"]

_log = logging.getLogger("adafuse.observing")
logging.getLogger("adafuse").addHandler(logging.NullHandler())


def tells_figures() -> bool:
    """Whether anybody wants more than warnings."""
    return _log.isEnabledFor(logging.INFO)


def tell_begin(account: AnswerRecord) -> None:
    """DEBUG: an answer begins."""
    _log.debug("answer begins: %s", ", ".join(account.members))


def tell_round(round_: Round) -> None:
    """WARNING: members whose numbers were not finite. DEBUG: how a round was decided.

    Members that are dropped are logged where that is decided.
    """
    if round_.left_out:
        names = ", ".join(round_.left_out)
        _log.warning("round %d: left out, as their numbers are not finite: %s", round_.index, names)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug(
            "round %d: %d words of %s, %s, %d candidates",
            round_.index, len(round_.words), round_.member or "nobody", round_.kind,
            len(round_.candidates),
        )  # fmt: skip


def tell_end(account: AnswerRecord) -> None:
    """INFO: how an answer ended, and its figures."""
    if not tells_figures():
        return
    summary = account.summary
    words = ", ".join(f"{name} {count}" for name, count in summary.words_by_member.items())
    first = account.first_seconds
    _log.info(
        "answer ended: %s; %d rounds (%d unanimous, %d scored) in %.3f s, the first after %s; "
        "words: %s",
        _outcome(account), summary.rounds, summary.unanimous, summary.scored, account.seconds,
        "-" if first is None else f"{first:.3f} s", words or "none",
    )  # fmt: skip


def _outcome(account: AnswerRecord) -> str:
    """The outcome; of errors the class, since what they say may quote the answer."""
    error = account.error
    if error is None:
        return account.outcome
    if isinstance(error, MemberError):
        where = f"{error.member!r}, round {error.round_index}, {error.phase}"
        return f"{type(error).__name__} ({where}: {error.reason})"
    return type(error).__name__
