"""Loading members for a command: one bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from adafuse.backends import no_collections
from adafuse.cli.quiet import quiet_libraries
from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError

__all__ = ["loaded", "read_settings"]


def read_settings(
    members: Sequence[Any], of_file: Mapping[str, Any], given: Mapping[str, Any]
) -> DecodingConfig:
    """The settings of an ensemble's file with those that options give.

    ConfigError if one is wrong, or there are not as many weights as members.
    """
    config = DecodingConfig().override(**of_file).override(**given)
    if config.weights and len(config.weights) != len(members):
        weights, there = len(config.weights), len(members)
        raise ConfigError(f"--weight is given {weights} times for {there} members")
    return config


@contextmanager
def loaded(
    members: Sequence[Any], config: DecodingConfig, *, device: str | None, dtype: str | None
) -> Iterator[Ensemble]:
    """An ensemble, loaded as `Ensemble.load` does it, while libraries are quiet."""
    settings = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with ExitStack() as stack:
        with no_collections(), bar:
            task = bar.add_task("loading members", total=len(members))

            def show(line: str) -> None:
                bar.advance(task)
                if console.is_terminal:
                    console.print(line, style="dim", markup=False, highlight=False)

            stack.enter_context(quiet_libraries())
            with _each_loaded(show):
                ensemble = Ensemble.load(members, device=device, dtype=dtype, **settings)
        yield ensemble


class _Heard(logging.Handler):
    """Calls a function with each record's message."""

    def __init__(self, call: Callable[[str], None]) -> None:
        super().__init__()
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a record."""
        self._call(record.getMessage())


@contextmanager
def _each_loaded(call: Callable[[str], None]) -> Iterator[None]:
    """Call a function whenever a member is loaded, with a line that says so."""
    logger, handler = logging.getLogger("adafuse.loading"), _Heard(call)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
