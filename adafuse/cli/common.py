"""What the commands share: errors of one line, files or text as options, models by short name.

An error is one line: exit code 2 for a wrong option or setting, 1 for any other.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from adafuse.ensemble_file import read_models
from adafuse.errors import AdaFuseError, ConfigError, PromptError

__all__ = [
    "OneLineErrors",
    "file_or_text",
    "model_folder",
    "one_line",
    "read_json",
    "read_members",
    "read_model",
    "standard_input",
]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class OneLineErrors(TyperCommand):
    """A command that says in one line what went wrong, and exits with a code."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As the base class, which would print several lines."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.TyperException as error:
            code = _fail(error.format_message(), error.exit_code)
        except AdaFuseError as error:
            code = _fail(str(error), 2 if isinstance(error, ConfigError) else 1)
        except (KeyboardInterrupt, typer.Abort):
            code = _INTERRUPTED
        if standalone_mode:
            sys.exit(code or 0)
        return code


def one_line(error: object) -> str:
    """What an error says, as commands write it."""
    return f"error: {' '.join(str(error).split())}"


def _fail(message: str, code: int) -> int:
    print(one_line(message), file=sys.stderr)
    return code


def standard_input() -> str:
    """All of standard input, less one line end."""
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise PromptError(f"standard input is not UTF-8: {error.reason} at {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


def file_or_text(value: str) -> str:
    """The text of a file, if there is one of that name."""
    try:
        return Path(value).read_text(encoding="utf-8") if Path(value).is_file() else value
    except UnicodeDecodeError as error:
        raise ConfigError(f"{value} is not UTF-8: {error.reason} at {error.start}") from None
    except OSError:  # too long for a file's name, or not to be read
        return value


def read_json(option: str, value: str) -> Any:
    """The JSON of an option that gives it, or a file of it; ConfigError if it is neither."""
    try:
        return json.loads(file_or_text(value))
    except ValueError as error:
        raise ConfigError(f"{option} is neither a file nor JSON: {error}") from None


def model_folder(name: str) -> str:
    """Turn the short name of a demo model into its folder, preparing it if need be."""
    if "/" in name or Path(name).exists():
        return name
    from adafuse.demo.models import DEMO_MODELS, prepare  # only short names need it

    return str(prepare(name)) if name in DEMO_MODELS else name


def read_model(member: str) -> str | dict[str, Any]:
    """A member as an option gives it: a model's name, or a specification in JSON."""
    if not member.lstrip().startswith("{"):
        return model_folder(member)
    spec = dict(read_json("--model", member))
    if isinstance(spec.get("model"), str):
        spec["model"] = model_folder(spec["model"])
    return spec


def read_members(
    models: Sequence[str], *, to_answer: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """Members as `--model` gives them, each as `read_model` does, or those of an ensemble's file.

    Returns them, and the file's settings. `to_answer`: see `adafuse.ensemble_file.read_models`.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        named, settings = read_models(list(models), to_answer=to_answer)
    for warning in told:  # without the line of code that Python shows
        typer.echo(f"warning: {warning.message}", err=True)
    return [read_model(one) if isinstance(one, str) else one for one in named], settings
