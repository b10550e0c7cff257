"""Keeping libraries from writing over an answer. For programs that own their terminal, such as the
command and the examples: the library itself leaves others' logging alone.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_libraries"]


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers and the hub client from writing progress and warnings over an answer.

    What they were set to is restored afterwards.
    """
    # Imported here: it takes a moment, which a command's --help should not.
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    verbosity = os.environ.get("TRANSFORMERS_VERBOSITY")
    hub_bars = not are_progress_bars_disabled()
    model_bars = _switch_model_bars(False)
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # transformers sets its level on import
        disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if verbosity is None:
            os.environ.pop("TRANSFORMERS_VERBOSITY", None)
        else:
            os.environ["TRANSFORMERS_VERBOSITY"] = verbosity
        if hub_bars:
            enable_progress_bars()
        if model_bars or (model_bars is None and hub_bars):
            _switch_model_bars(True)
            if not hub_bars:
                disable_progress_bars()  # transformers switches those of the hub too


def _switch_model_bars(on: bool) -> bool | None:
    """Switch transformers' progress bars; return whether they were on, None if not imported."""
    library = sys.modules.get("transformers.utils.logging")
    if library is None:
        return None
    was_on = bool(library.is_progress_bar_enabled())
    (library.enable_progress_bar if on else library.disable_progress_bar)()
    return was_on
