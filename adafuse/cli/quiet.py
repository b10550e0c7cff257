"""Keeping libraries from writing over an answer. For programs that own their terminal, such as the
command and the examples: the library itself leaves others' logging alone.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_libraries"]


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers and the hub client from writing progress and warnings over an answer.

    What they were set to is restored afterwards.
    """
    verbosity = os.environ.get("TRANSFORMERS_VERBOSITY")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # transformers sets its level on import
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _no_bars(), _errors_only():  # the first imports them, which sets levels
                yield
    finally:
        if verbosity is None:
            os.environ.pop("TRANSFORMERS_VERBOSITY", None)
        else:
            os.environ["TRANSFORMERS_VERBOSITY"] = verbosity


@contextmanager
def _errors_only() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Switch off the bars of both libraries, whatever the environment says of the hub's."""
    # Imported here: it takes a moment, which a command's --help should not.
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging as transformers_logging

    on_hub = not are_progress_bars_disabled()
    of_models = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # and the hub's
    try:
        yield
    finally:
        if of_models:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        (enable_progress_bars if on_hub else disable_progress_bars)()
