"""Ask an ensemble from the shell: `python -m adafuse "a question" --model A --model B`.

`chat`, `compare`, `fit` and `serve` are commands of their own, in modules of these names. Standard
output carries the answer and nothing else; all else goes to standard error. An error is one line:
exit code 2 for a wrong option or setting, 1 for any other.
"""

from __future__ import annotations

import atexit
import gc
import sys
import time
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from adafuse._version import __version__
from adafuse.answer import Answer
from adafuse.cli.commands import COMMANDS, refuse_mistyped
from adafuse.cli.common import OneLineErrors, read_members, standard_input
from adafuse.cli.display import AnswerPrinter, stats_table, write_answer
from adafuse.cli.loading import loaded, read_settings
from adafuse.cli.options import Device, Dtype, Models, decoding_options
from adafuse.errors import ConfigError
from adafuse.prompting.prompt import PromptFormat, read_prompt, with_constraint
from adafuse.telemetry.summary import summarise

__all__ = ["app", "main"]

# One line per paragraph: the help breaks lines where the text does.
_HELP = (
    "Ask several language models one question; they answer together, word by word.\n\n"
    "Words appear as they are fused, coloured by the member that drafted them. Where the output is "
    "not a terminal it is the exact text of the answer, with a line's end behind it.\n\n"
    "`adafuse chat` keeps the models for a conversation; `adafuse fit` finds out on your texts how "
    "much each member should say; `adafuse compare` asks members alone and together, and tells "
    "which is better; `adafuse serve` is a server with OpenAI's interface."
)


class _Format(StrEnum):
    auto = "auto"
    raw = "raw"
    chat = "chat"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"adafuse {__version__}")
        raise typer.Exit


class _Ask(OneLineErrors):
    """Refuses a command that is mistyped, before its options are taken for wrong ones."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class."""
        refuse_mistyped(*args[:1])
        return super().parse_args(ctx, args)


@app.command(cls=_Ask, help=_HELP)
@decoding_options()
def _ask(
    question: Annotated[
        str,
        typer.Argument(help="What to ask; '-' reads it from standard input, less one line end."),
    ],
    model: Models,
    system: Annotated[
        str | None, typer.Option(help="A system message; the question is then a chat message.")
    ] = None,
    prompt_format: Annotated[
        _Format,
        typer.Option(
            help="auto: a user message for members with a chat template. raw: text to be "
            "completed. chat: a user message for all."
        ),
    ] = _Format.chat,
    stats: Annotated[
        bool, typer.Option("--stats", help="Show who wrote what and its cost, on standard error.")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Also write the answer as an HTML page that shows who wrote what."),
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Answer one question; its help is `_HELP`."""
    refuse_mistyped(question)
    members, of_file = read_members(model, to_answer=True)
    config = read_settings(members, of_file, settings)
    text = standard_input() if question == "-" else question
    form: PromptFormat = prompt_format.value
    prompt: str | list[dict[str, str]] = text
    if system is not None:
        prompt = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    with_constraint(read_prompt(prompt, form), config)  # what is refused waits for no models
    if trace is not None and not trace.parent.is_dir():
        raise ConfigError(f"--trace: there is no folder {str(trace.parent)!r}")
    with loaded(members, config, device=device, dtype=dtype) as ensemble:
        began = time.perf_counter()
        printer = AnswerPrinter(sys.stdout, [member.name for member in ensemble.members])
        rounds = write_answer(ensemble.stream(prompt, prompt_format=form), printer)
        seconds = time.perf_counter() - began
    if stats:
        summary = summarise(rounds, seconds=seconds)
        Console(stderr=True).print(stats_table(summary, rounds[-1].usage or {}))
    if trace is not None:
        Answer.fold(rounds).save_trace(trace, prompt=prompt)


def main() -> None:
    """Entry point of the command: a question, or one of `COMMANDS`."""
    atexit.register(gc.freeze)  # all goes with the process: nobody need look through it once more
    if sys.argv[1:] and (name := sys.argv[1]) in COMMANDS:
        import_module(f"adafuse.cli.{name}").app(sys.argv[2:], prog_name=f"adafuse {name}")
    app(prog_name="adafuse")
