"""A limit of time on an answer, kept between rounds. Knows no member."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing

from adafuse.errors import AnswerTimeoutError
from adafuse.events import Round

__all__ = ["limited"]


def limited(rounds: Generator[Round], seconds: float | None) -> Generator[Round]:
    """Pass rounds on; stop once decoding them has taken longer than `seconds`.

    The time in which nobody asks for a round does not count. A round is never cut.

    Raises:
        AnswerTimeoutError: after the round that took too long, unless it ends the answer.
    """
    spent = 0.0
    committed = ""
    with closing(rounds):
        while True:
            start = time.monotonic()
            one = next(rounds, None)
            spent += time.monotonic() - start
            if one is None:
                return
            committed += one.text
            yield one
            if seconds is not None and spent > seconds and one.finish_reason is None:
                raise AnswerTimeoutError(seconds, committed)
