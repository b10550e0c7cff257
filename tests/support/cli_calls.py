"""Calling the command on scripted members, and what it asked the library for."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from adafuse import DecodingConfig, Ensemble
from adafuse.cli.ask import app
from adafuse.testing import ScriptedMember
from watched_members import CODE

__all__ = ["PAIR", "Call", "ask", "one_line_error", "watch"]

PAIR = ["--model", "org/a", "--model", "org/b"]


class Call:
    """What the command asked the library for."""

    models: list[str]
    options: dict[str, Any]
    prompt: Any
    prompt_format: Any


def ask(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False, **options)


def one_line_error(result: Any) -> str:
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


def watch(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Loading gives scripted members and is written down."""
    seen = Call()

    def load(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        seen.models, seen.options = models, dict(options)
        del options["device"], options["dtype"]
        members = [ScriptedMember(CODE, m, confident=False, nll=i) for i, m in enumerate(models)]
        return cls(members, DecodingConfig(**options))

    stream = Ensemble.stream

    def watched_stream(self: Ensemble, prompt: Any, **options: Any) -> Any:
        seen.prompt, seen.prompt_format = prompt, options["prompt_format"]
        return stream(self, prompt, **options)

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    monkeypatch.setattr(Ensemble, "stream", watched_stream)
    return seen
