"""Logs, and OpenTelemetry's spans and metrics, of answers while they are decoded.

Nothing of it changes an answer, and nothing of what is asked or answered is recorded unless the
environment asks for it. See docs/telemetry.md.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from adafuse.config import DecodingConfig
from adafuse.errors import MemberError
from adafuse.events import Round
from adafuse.prompting.prompt import Prompt
from adafuse.telemetry.record import AnswerRecord

if TYPE_CHECKING:
    from adafuse.telemetry.otel import AnswerTelemetry, Telemetry

__all__ = ["observed"]

_log = logging.getLogger("adafuse.observing")
logging.getLogger("adafuse").addHandler(logging.NullHandler())


def observed(
    rounds: Generator[Round],
    *,
    members: Sequence[str],
    prompt: Prompt,
    config: DecodingConfig,
    telemetry: Telemetry | None = None,
) -> Generator[Round]:
    """Pass the rounds of one answer on unchanged, and record them.

    The span begins with the first round that is asked for. Its parent is the span that is current
    in the caller of this function, whatever thread asks for rounds later. Closing the generator
    closes `rounds`; errors of `rounds` pass through.

    Args:
        rounds: of one answer.
        members: names of the members, the first of which counts the tokens.
        prompt: what is asked.
        config: how the answer is decoded.
        telemetry: spans and metrics go there; default: OpenTelemetry's global providers, if the
            extra `otel` is installed.
    """
    telemetry = telemetry or _installed()
    if telemetry is None and not _log.isEnabledFor(logging.INFO):
        return _watched(rounds)
    answer = telemetry.answer(members, prompt, config) if telemetry is not None else None
    return _observed(rounds, members, answer)


def _watched(rounds: Generator[Round]) -> Generator[Round]:
    """Nobody asks for figures: warnings alone."""
    with closing(rounds):
        for round_ in rounds:
            _log_round(round_)
            yield round_


def _observed(
    rounds: Generator[Round], members: Sequence[str], answer: AnswerTelemetry | None
) -> Generator[Round]:
    _log.debug("answer begins: %s", ", ".join(members))
    if answer is not None:
        answer.begin()
    record, start = AnswerRecord(), time.monotonic()
    try:
        with closing(rounds):
            while True:
                waiting = time.monotonic()
                # The context is left before a round is passed on: the next may be asked for in
                # another thread, or never.
                with answer.current() if answer is not None else nullcontext():
                    round_ = next(rounds, None)
                now = time.monotonic()
                record.decoding_seconds += now - waiting
                if round_ is None:
                    return
                record.add(round_, now - start)
                _log_round(round_)
                if answer is not None:
                    answer.round(round_)
                yield round_
    except Exception as error:  # closing it, also from outside by an exit, cancels it
        record.error = error
        raise
    finally:
        record.seconds = time.monotonic() - start
        _log_end(record)
        if answer is not None:
            answer.end(record)


@functools.cache
def _installed() -> Telemetry | None:
    """OpenTelemetry with its global providers; None where it is not installed."""
    try:
        from adafuse.telemetry.otel import Telemetry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        return None
    return Telemetry()


def _log_round(round_: Round) -> None:
    """Members that are dropped are logged where that is decided."""
    if round_.left_out:
        names = ", ".join(round_.left_out)
        _log.warning("round %d: left out, as their numbers are not finite: %s", round_.index, names)
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug(
            "round %d: %d words of %s, %s, %d candidates",
            round_.index, len(round_.words), round_.member or "nobody", round_.kind,
            len(round_.candidates),
        )  # fmt: skip


def _log_end(record: AnswerRecord) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    summary, first, error = record.summary, record.first_seconds, record.error
    words = ", ".join(f"{name} {count}" for name, count in summary.words_by_member.items())
    # Of errors the class, since what they say may quote the answer.
    outcome = record.outcome if error is None else type(error).__name__
    if isinstance(error, MemberError):
        outcome += f" ({error.member!r}, round {error.round_index}, {error.phase}: {error.reason})"
    _log.info(
        "answer ended: %s; %d rounds (%d unanimous, %d scored) in %.3f s, the first after %s; "
        "words: %s",
        outcome, summary.rounds, summary.unanimous, summary.scored, record.seconds,
        "-" if first is None else f"{first:.3f} s", words or "none",
    )  # fmt: skip
