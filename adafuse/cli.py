"""Ask an ensemble from the shell: `python -m adafuse "a question" --model A --model B`.

Standard output carries the answer and nothing else; all else goes to standard error. An error is
one line: exit code 2 for a wrong option or setting, 1 for any other.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from adafuse import __version__
from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.display import AnswerPrinter, stats_table
from adafuse.ensemble import Ensemble
from adafuse.errors import AdaFuseError, ConfigError, PromptError
from adafuse.prompts import PromptFormat, read_prompt
from adafuse.quiet import quiet_libraries
from adafuse.telemetry import summarise

if TYPE_CHECKING:
    from adafuse.events import Round

__all__ = ["app", "main"]

_DEFAULTS = DecodingConfig()
# One line per paragraph: the help breaks lines where the text does.
_HELP = (
    "Ask several language models one question; they answer together, word by word.\n\n"
    "Words appear as they are fused, coloured by the member that drafted them. Where the output is "
    "not a terminal it is the exact text of the answer."
)
_DECODING = "Decoding"  # heading of their options in --help
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Format(StrEnum):
    auto = "auto"
    raw = "raw"
    chat = "chat"


class _OneLineErrors(TyperCommand):
    """A command that says in one line what went wrong, and exits with a code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As the base class, which would print several lines."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            code = _fail(error.format_message(), error.exit_code)
        except AdaFuseError as error:
            code = _fail(str(error), 2 if isinstance(error, ConfigError) else 1)
        except (KeyboardInterrupt, typer.Abort):
            code = _INTERRUPTED
        if standalone_mode:
            sys.exit(code or 0)
        return code


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"adafuse {__version__}")
        raise typer.Exit


@app.command(cls=_OneLineErrors, help=_HELP)
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
            "demo model (smollm2, gemma3). The first one counts --max-new-tokens.",
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
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:1. Default: CUDA if there is one.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Such as float32 or bfloat16. Default: by device.")
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(help="Tokens of the first member.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.max_new_tokens,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="Text that ends the answer; may be repeated.", rich_help_panel=_DECODING),
    ] = None,
    margin_threshold: Annotated[
        float,
        typer.Option(help="Margin from which on a word is confident.", rich_help_panel=_DECODING),
    ] = _DEFAULTS.margin_threshold,
    max_words: Annotated[
        int, typer.Option(help="Most words proposed in a round.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.max_words,
    branches: Annotated[
        int, typer.Option(help="Proposals of an uncertain member.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.branches,
    max_word_tokens: Annotated[
        int, typer.Option(help="A longer word is cut into rounds.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.max_word_tokens,
    weight: Annotated[
        list[float] | None,
        typer.Option(
            help="Weight of a member's scores; once per --model, in order. Default: equal.",
            rich_help_panel=_DECODING,
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="0 takes the best candidate.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.temperature,
    seed: Annotated[
        int | None, typer.Option(help="For a temperature above 0.", rich_help_panel=_DECODING)
    ] = None,
    repetition_penalty: Annotated[
        float, typer.Option(help="1 is off.", rich_help_panel=_DECODING)
    ] = _DEFAULTS.repetition_penalty,
    speculation: Annotated[
        bool,
        typer.Option(help="Read ahead; the answer is the same.", rich_help_panel=_DECODING),
    ] = _DEFAULTS.speculation,
    json_schema: Annotated[
        str | None,
        typer.Option(
            help="The answer is JSON of this schema: a file, or the schema itself.",
            rich_help_panel=_DECODING,
        ),
    ] = None,
    regex: Annotated[
        str | None, typer.Option(help="The answer matches it.", rich_help_panel=_DECODING)
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(help="The answer is one of these; repeat it.", rich_help_panel=_DECODING),
    ] = None,
    grammar: Annotated[
        str | None,
        typer.Option(
            help="The answer is a sentence of this Lark grammar: a file, or the grammar itself.",
            rich_help_panel=_DECODING,
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Answer one question; its help is `_HELP`."""
    config = DecodingConfig(
        margin_threshold=margin_threshold,
        max_words=max_words,
        branches=branches,
        max_word_tokens=max_word_tokens,
        weights=tuple(weight) if weight else None,
        temperature=temperature,
        seed=seed,
        stop=tuple(stop or ()),
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        speculation=speculation,
        json_schema=_json(json_schema) if json_schema is not None else None,
        regex=regex,
        choices=tuple(choice) if choice else None,
        grammar=_file_or_text(grammar) if grammar is not None else None,
    )
    if weight and len(weight) != len(model):
        raise ConfigError(f"--weight is given {len(weight)} times for {len(model)} members")
    text = _standard_input() if question == "-" else question
    asked: str | list[dict[str, str]] = text
    wanted: PromptFormat = prompt_format.value
    if system is not None:
        turns = (("system", system), ("user", text))
        asked = [{"role": role, "content": content} for role, content in turns]
    read_prompt(asked, wanted)  # what is refused should not wait for models
    if any(getattr(config, name) is not None for name in CONSTRAINTS):
        from adafuse.constraints import read_constraint  # needs an extra

        read_constraint(config)
    folders = [_model(name) for name in model]
    settings = {f.name: getattr(config, f.name) for f in fields(config)}
    output = sys.stdout  # the status line below stands in for it while it is shown
    with quiet_libraries(), Console(stderr=True).status("loading members …") as status:
        ensemble = Ensemble.load(folders, device=device, dtype=dtype, **settings)
        status.update("reading the question …")
        began = time.perf_counter()
        stream = ensemble.stream(asked, prompt_format=wanted)
        with closing(stream):
            printer = AnswerPrinter(output, [member.name for member in ensemble.members])
            rounds = _print(stream, printer, status.stop)
        seconds = time.perf_counter() - began
    if stats:
        summary = summarise(rounds, seconds=seconds)
        Console(stderr=True).print(stats_table(summary, rounds[-1].usage or {}))


def _print(
    stream: Iterable[Round], printer: AnswerPrinter, begin: Callable[[], None]
) -> list[Round]:
    """Write words as they come; `begin` is called before the first."""
    rounds = []
    try:
        for one in stream:
            begin()
            rounds.append(one)
            for word in one.words:
                printer.write(word, one.member)
        printer.end()
    except BrokenPipeError:
        # Nobody reads on. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), printer.file.fileno())
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        printer.end()
        raise
    return rounds


def _standard_input() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise PromptError(f"standard input is not UTF-8: {error.reason} at {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _file_or_text(given: str) -> str:
    """The text of a file, if there is one of that name."""
    try:
        return Path(given).read_text(encoding="utf-8") if Path(given).is_file() else given
    except UnicodeDecodeError as error:
        raise ConfigError(f"{given} is not UTF-8: {error.reason} at {error.start}") from None
    except OSError:  # too long for a file's name, or not to be read
        return given


def _json(given: str) -> Any:
    try:
        return json.loads(_file_or_text(given))
    except ValueError as error:
        raise ConfigError(f"--json-schema is neither a file nor JSON: {error}") from None


def _model(name: str) -> str:
    """Turn the short name of a demo model into its folder, preparing it if need be."""
    if "/" in name or Path(name).exists():
        return name
    from adafuse.models import DEMO_MODELS, prepare  # only short names need it

    return str(prepare(name)) if name in DEMO_MODELS else name


def main() -> None:
    """Entry point of the command."""
    app(prog_name="adafuse")
