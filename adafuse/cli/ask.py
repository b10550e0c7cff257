"""Ask an ensemble from the shell: `python -m adafuse "a question" --model A --model B`.

`compare` and `serve` are commands of their own, in modules of these names. Standard output
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
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from adafuse._version import __version__
from adafuse.answer import Answer
from adafuse.cli import options
from adafuse.cli.common import OneLineErrors, file_or_text, model_folder, read_json, standard_input
from adafuse.cli.display import AnswerPrinter, stats_table
from adafuse.cli.quiet import quiet_libraries
from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError
from adafuse.presets import with_preset
from adafuse.prompting.prompt import PromptFormat, read_prompt
from adafuse.telemetry.summary import summarise

if TYPE_CHECKING:
    from adafuse.events import Round

__all__ = ["app", "main"]

_DEFAULTS = options.DEFAULTS
# One line per paragraph: the help breaks lines where the text does.
_HELP = (
    "Ask several language models one question; they answer together, word by word.\n\n"
    "Words appear as they are fused, coloured by the member that drafted them. Where the output is "
    "not a terminal it is the exact text of the answer.\n\n"
    "`adafuse compare` asks members alone and together, and tells which is better; `adafuse serve` "
    "is a server with OpenAI's interface."
)


class _Format(StrEnum):
    auto = "auto"
    raw = "raw"
    chat = "chat"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"adafuse {__version__}")
        raise typer.Exit


@app.command(cls=OneLineErrors, help=_HELP)
def _ask(
    context: typer.Context,
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
    trace: Annotated[
        Path | None,
        typer.Option(help="Also write the answer as an HTML page that shows who wrote what."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:1. Default: CUDA if there is one.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Such as float32 or bfloat16. Default: by device.")
    ] = None,
    max_new_tokens: options.MaxNewTokens = _DEFAULTS.max_new_tokens,
    stop: options.Stop = None,
    preset: options.Preset = None,
    margin_threshold: options.MarginThreshold = _DEFAULTS.margin_threshold,
    max_words: options.MaxWords = _DEFAULTS.max_words,
    branches: options.Branches = _DEFAULTS.branches,
    max_word_tokens: options.MaxWordTokens = _DEFAULTS.max_word_tokens,
    weight: options.Weight = None,
    weighting: options.WeightingOption = _DEFAULTS.weighting,
    scoring: options.ScoringOption = _DEFAULTS.scoring,
    leader: options.Leader = None,
    contested_only: options.ContestedOnly = _DEFAULTS.contested_only,
    temperature: options.Temperature = _DEFAULTS.temperature,
    seed: options.Seed = None,
    repetition_penalty: options.RepetitionPenalty = _DEFAULTS.repetition_penalty,
    speculation: options.Speculation = _DEFAULTS.speculation,
    json_schema: options.JsonSchema = None,
    regex: options.Regex = None,
    choice: options.Choice = None,
    grammar: options.Grammar = None,
    timeout: options.Timeout = _DEFAULTS.timeout,
    round_timeout: options.RoundTimeout = _DEFAULTS.round_timeout,
    on_member_error: options.OnMemberErrorOption = _DEFAULTS.on_member_error,
    min_members: options.MinMembers = _DEFAULTS.min_members,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Answer one question; its help is `_HELP`."""
    by_preset = {
        "margin_threshold": margin_threshold,
        "max_words": max_words,
        "branches": branches,
        "weighting": weighting,
        "scoring": scoring,
        "leader": int(leader) if leader is not None and leader.isdecimal() else leader,
        "contested_only": contested_only,
    }
    sources = {name: context.get_parameter_source(name) for name in by_preset}
    given = {n: v for n, v in by_preset.items() if getattr(sources[n], "name", "") != "DEFAULT"}
    config = DecodingConfig(
        **{**by_preset, **with_preset({"preset": preset, **given})},
        max_word_tokens=max_word_tokens,
        weights=tuple(weight) if weight else None,
        temperature=temperature,
        seed=seed,
        stop=tuple(stop or ()),
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        speculation=speculation,
        timeout=timeout,
        round_timeout=round_timeout,
        on_member_error=on_member_error,
        min_members=min_members,
        json_schema=read_json("--json-schema", json_schema) if json_schema is not None else None,
        regex=regex,
        choices=tuple(choice) if choice else None,
        grammar=file_or_text(grammar) if grammar is not None else None,
    )
    if weight and len(weight) != len(model):
        raise ConfigError(f"--weight is given {len(weight)} times for {len(model)} members")
    text = standard_input() if question == "-" else question
    asked: str | list[dict[str, str]] = text
    wanted: PromptFormat = prompt_format.value
    if system is not None:
        turns = (("system", system), ("user", text))
        asked = [{"role": role, "content": content} for role, content in turns]
    read_prompt(asked, wanted)  # what is refused should not wait for models
    if any(getattr(config, name) is not None for name in CONSTRAINTS):
        from adafuse.constraints.constraint import read_constraint  # needs an extra

        read_constraint(config)
    if trace is not None and not trace.parent.is_dir():
        raise ConfigError(f"--trace: there is no folder {str(trace.parent)!r}")
    folders = [model_folder(name) for name in model]
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
    if trace is not None:
        Answer.fold(rounds).save_trace(trace, prompt=asked)


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


def main() -> None:
    """Entry point of the command: a question, `compare` or `serve`."""
    name = sys.argv[1] if sys.argv[1:2] in (["compare"], ["serve"]) else ""
    if name:
        import_module(f"adafuse.cli.{name}").app(sys.argv[2:], prog_name=f"adafuse {name}")
    app(prog_name="adafuse")
