"""Running fuzz tests: how many cases, what may come of one, and that none hangs.

    .venv/bin/python -m pytest tests -k fuzz                       # a few hundred cases
    ADAFUSE_FUZZ=20000 .venv/bin/python -m pytest tests -k fuzz    # that many and more
    ADAFUSE_FUZZ=20000 … --hypothesis-show-statistics              # … and how many each had

`ADAFUSE_FUZZ` is the number of cases of all tests together. Every test gets its share, and at least
500; without it, a small number, and the same cases in every run (`conftest` has the profiles).
"""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import settings

from adafuse import AdaFuseError

__all__ = ["ends_well", "fuzzed"]

_LEAST = 500
_OURS = {"adafuse", "adafuse_integrations"}
_FRAMEWORKS = {"langchain_core", "llama_index"}
_HANGS = 900  # seconds; a regex that is refused may take 40 alone


def fuzzed(share: float, few: int = 25) -> Any:
    """Settings of a fuzz test.

    Args:
        share: of all cases, 0 to 1.
        few: how many cases it has in the suite.
    """
    wanted = int(os.environ.get("ADAFUSE_FUZZ", "0"))
    cases = max(_LEAST, round(share * wanted)) if wanted else few
    return settings(max_examples=cases)


def _is_a_frameworks_own(error: Exception) -> bool:
    """Whether a framework fails by itself: it raised, and called nothing of ours meanwhile.

    What it calls in turn, such as the standard library, is its own affair. Pydantic is a
    framework's where that calls it, but ours where we do.
    """
    packages = [
        frame.f_globals.get("__name__", "").partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = [at for at, package in enumerate(packages) if package in _OURS]
    below = packages[ours[-1] + 1 :] if ours else packages
    return bool(_FRAMEWORKS.intersection(below)) or (not ours and "pydantic" in below)


@contextmanager
def ends_well(*also: type[Exception]) -> Iterator[None]:
    """Whatever is done inside ends: with a result, or with an AdaFuseError of one line.

    What a framework raises by itself is its own affair.

    Args:
        also: other errors that are allowed.
    """

    def hung(*_: object) -> None:
        raise AssertionError(f"still at it after {_HANGS} seconds")

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(_HANGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except AdaFuseError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
    except also:
        pass
    except AssertionError:
        raise
    except Exception as error:
        if not _is_a_frameworks_own(error):
            raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
