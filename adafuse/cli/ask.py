"""Ask an ensemble from the shell: `python -m adafuse "a question" --model A --model B`.

`compare`, `fit` and `serve` are commands of their own, in modules of these names. Standard output
carries the answer and nothing else; all else goes to standard error. An error is one line: exit
code 2 for a wrong option or setting, 1 for any other.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import fields
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from adafuse._version import __version__
from adafuse.answer import Answer
from adafuse.cli.common import OneLineErrors, read_members, standard_input
from adafuse.cli.display import AnswerPrinter, stats_table
from adafuse.cli.options import Device, Dtype, decoding_options
from adafuse.cli.quiet import quiet_libraries
from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError
from adafuse.prompting.prompt import PromptFormat, read_prompt, with_constraint
from adafuse.telemetry.summary import summarise

if TYPE_CHECKING:
    from adafuse.events import Round

__all__ = ["app", "main"]

# One line per paragraph: the help breaks lines where the text does.
_HELP = (
    "Ask several language models one question; they answer together, word by word.\n\n"
    "Words appear as they are fused, coloured by the member that drafted them. Where the output is "
    "not a terminal it is the exact text of the answer.\n\n"
    "`adafuse fit` finds out on your texts how much each member should say; `adafuse compare` asks "
    "members alone and together, and tells which is better; `adafuse serve` is a server with "
    "OpenAI's interface."
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


@app.command(cls=OneLineErrors, help=_HELP)
@decoding_options()
def _ask(
    question: Annotated[
        str,
        typer.Argument(help="What to ask; '-' reads it from standard input, less one line end."),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="A member, 1 to 8 times: hub id, local folder, GGUF file, or the short name of a "
            "demo model (smollm2, gemma3). The first one counts --max-new-tokens. Or once: the "
            "ensemble.yaml that `adafuse fit` wrote.",
        ),
    ],
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
    members, of_file = read_members(model, to_answer=True)
    config = DecodingConfig().override(**of_file).override(**settings)
    if config.weights and len(config.weights) != len(members):
        given, there = len(config.weights), len(members)
        raise ConfigError(f"--weight is given {given} times for {there} members")
    text = standard_input() if question == "-" else question
    form: PromptFormat = prompt_format.value
    prompt: str | list[dict[str, str]] = text
    if system is not None:
        prompt = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    with_constraint(read_prompt(prompt, form), config)  # what is refused waits for no models
    if trace is not None and not trace.parent.is_dir():
        raise ConfigError(f"--trace: there is no folder {str(trace.parent)!r}")
    settings = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    output = sys.stdout  # the status line below stands in for it while it is shown
    with quiet_libraries(), Console(stderr=True).status("loading members …") as status:
        ensemble = Ensemble.load(members, device=device, dtype=dtype, **settings)
        status.update("reading the question …")
        began = time.perf_counter()
        stream = ensemble.stream(prompt, prompt_format=form)
        with closing(stream):
            printer = AnswerPrinter(output, [member.name for member in ensemble.members])
            rounds = _print(stream, printer, status.stop)
        seconds = time.perf_counter() - began
    if stats:
        summary = summarise(rounds, seconds=seconds)
        Console(stderr=True).print(stats_table(summary, rounds[-1].usage or {}))
    if trace is not None:
        Answer.fold(rounds).save_trace(trace, prompt=prompt)


def _print(
    stream: Iterable[Round], printer: AnswerPrinter, begin: Callable[[], None]
) -> list[Round]:
    """Write words as they come; `begin` is called before the first."""
    rounds = []
    try:
        for round_ in stream:
            begin()
            rounds.append(round_)
            for word in round_.words:
                printer.write(word, round_.member)
        printer.end()
    except BrokenPipeError:
        # Nobody reads on. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), printer.file.fileno())
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        printer.end()
        raise
    return rounds


def main() -> None:
    """Entry point of the command: a question, `compare`, `fit` or `serve`."""
    if sys.argv[1:2] in (["compare"], ["fit"], ["serve"]):
        name = sys.argv[1]
        import_module(f"adafuse.cli.{name}").app(sys.argv[2:], prog_name=f"adafuse {name}")
    app(prog_name="adafuse")
