"""`python -m adafuse chat`: a conversation with an ensemble, whose models are loaded once.

Where somebody types, a prompt asks for the next question. Piped input is one question a line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer

from adafuse.answer import Answer
from adafuse.cli.common import OneLineErrors, one_line, read_members
from adafuse.cli.display import AnswerPrinter, write_answer
from adafuse.cli.loading import loaded, read_settings
from adafuse.cli.options import Device, Dtype, Models, decoding_options
from adafuse.ensemble import Ensemble
from adafuse.errors import AdaFuseError, PromptError
from adafuse.prompting.prompt import read_prompt, with_constraint

__all__ = ["app"]

_HELP = (
    "Hold a conversation with an ensemble; its models are loaded once.\n\n"
    "Every answer is given in view of all that was said before. /exit or Ctrl-D ends the "
    "conversation; Ctrl-C ends an answer, and takes it and its question back. Piped input is one "
    "question a line; its answers are written one after another, each with a line's end behind it."
)
_EXIT, _PROMPT = "/exit", "> "

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Messages = list[dict[str, str]]


@app.command(cls=OneLineErrors, help=_HELP)
@decoding_options()
def _chat(
    model: Models,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    device: Device = None,
    dtype: Dtype = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Converse; its help is `_HELP`."""
    members, of_file = read_members(model, to_answer=True)
    config = read_settings(members, of_file, settings)
    messages: Messages = [{"role": "system", "content": system}] if system is not None else []
    # What is refused waits for no models.
    with_constraint(read_prompt([*messages, {"role": "user", "content": "?"}]), config)
    typed = sys.stdin.isatty()
    with loaded(members, config, device=device, dtype=dtype) as ensemble:
        printer = AnswerPrinter(sys.stdout, [member.name for member in ensemble.members])
        for question in _typed() if typed else _piped():
            try:
                _turn(ensemble, printer, messages, question)
            except (AdaFuseError, KeyboardInterrupt) as error:
                if not typed:
                    raise
                if isinstance(error, AdaFuseError):
                    print(one_line(error), file=sys.stderr)


def _turn(ensemble: Ensemble, printer: AnswerPrinter, messages: Messages, question: str) -> None:
    """Answer a question; it and the answer become part of the conversation, or neither does."""
    asked = {"role": "user", "content": question}
    rounds = write_answer(ensemble.stream([*messages, asked]), printer)
    messages += [asked, {"role": "assistant", "content": Answer.fold(rounds).text}]


def _typed() -> Iterator[str]:
    """Questions as somebody types them, until the end."""
    with suppress(ImportError):  # on Windows, where consoles do what it does
        import readline  # noqa: F401  (lines can be edited, and called back)
    while True:
        try:
            line = _ask_for_line().strip()
        except EOFError:
            print(file=sys.stderr)
            return
        if line == _EXIT:
            return
        if line:
            yield line


def _ask_for_line() -> str:
    if sys.stdout.isatty():
        return input(_PROMPT)
    print(_PROMPT, end="", file=sys.stderr, flush=True)  # answers alone go where they are piped
    return input()


def _piped() -> Iterator[str]:
    """Questions from standard input, one a line, until the end."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            question = line.decode().strip()
        except UnicodeDecodeError as error:
            raise PromptError(
                f"standard input is not UTF-8: line {number}, {error.reason} at {error.start}"
            ) from None
        if question == _EXIT:
            return
        if question:
            yield question
