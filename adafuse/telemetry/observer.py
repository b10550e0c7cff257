"""What is told of answers while they are decoded: logs, and OpenTelemetry's spans and metrics.

Nothing of it changes an answer, and nothing of what is asked or answered is told unless the
environment asks for it. See docs/telemetry.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Generator, Sequence
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from adafuse.config import DecodingConfig
from adafuse.events import Round
from adafuse.prompting.prompt import Prompt
from adafuse.telemetry.logs import tell_begin, tell_end, tell_round, tells_figures
from adafuse.telemetry.record import AnswerRecord

if TYPE_CHECKING:
    from adafuse.telemetry.otel import AnswerTelemetry, Telemetry

__all__ = ["observed"]


def observed(
    rounds: Generator[Round],
    *,
    members: Sequence[str],
    prompt: Prompt,
    config: DecodingConfig,
    telemetry: Telemetry | None = None,
) -> Generator[Round]:
    """Pass the rounds of one answer on unchanged, and tell of them.

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
    answer = telemetry.answer(members, prompt, config) if telemetry is not None else None
    if answer is None and not tells_figures():
        return _watched(rounds)
    return _observed(rounds, AnswerRecord(tuple(members)), answer)


def _watched(rounds: Generator[Round]) -> Generator[Round]:
    """Nobody asks for figures: warnings alone."""
    with closing(rounds):
        for one in rounds:
            tell_round(one)
            yield one


def _observed(
    rounds: Generator[Round], account: AnswerRecord, answer: AnswerTelemetry | None
) -> Generator[Round]:
    tell_begin(account)
    if answer is not None:
        answer.begin()
    start = time.monotonic()
    try:
        with closing(rounds):
            while True:
                asked = time.monotonic()
                # The context is left before a round is passed on: the next may be asked for in
                # another thread, or never.
                with answer.current() if answer is not None else nullcontext():
                    one = next(rounds, None)
                now = time.monotonic()
                account.decoding_seconds += now - asked
                if one is None:
                    return
                account.add(one, now - start)
                tell_round(one)
                if answer is not None:
                    answer.round(one)
                yield one
    except BaseException as error:
        account.failed(error)
        raise
    finally:
        account.seconds = time.monotonic() - start
        tell_end(account)
        if answer is not None:
            answer.end(account)


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
