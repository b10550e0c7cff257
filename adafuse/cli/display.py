"""Answers and their figures on a terminal: words coloured by member, and a table.

Exact text is sacred where output is not a terminal: nothing is changed there, and nothing added but
the end of the last line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from io import TextIOWrapper
from typing import TextIO

import typer
from rich.color import ColorSystem
from rich.console import Console, Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from adafuse.events import MemberUsage, Round
from adafuse.telemetry.summary import Summary
from adafuse.text.escaping import visible

__all__ = ["AnswerPrinter", "member_styles", "stats_table", "write_answer"]

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red", "bright_cyan", "bright_yellow")


def member_styles(members: Sequence[str]) -> dict[str, Style]:
    """One colour per member, the same ones for the same order of names."""
    return {name: Style(color=_COLOURS[i % len(_COLOURS)]) for i, name in enumerate(members)}


class AnswerPrinter:
    """Writes words as they come: exactly as they are, or coloured by member on a terminal.

    What it wrote ends with a line's end.

    On a terminal control characters are made visible; colours are left out where the environment
    asks for none (`NO_COLOR`, `TERM=dumb`).
    """

    def __init__(self, file: TextIO, members: Sequence[str]) -> None:
        console = Console(file=file)
        self.file = file
        self._terminal = console.is_terminal
        if not self._terminal and isinstance(file, TextIOWrapper):
            file.reconfigure(encoding="utf-8", newline="\n")  # exact text on every platform
        coloured = console.color_system is not None and not console.no_color
        self._styles = member_styles(members) if self._terminal and coloured else {}
        self._at_line_start = True

    def write(self, word: str, member: str) -> None:
        """Write one word, at once."""
        if self._terminal:
            word = visible(word)  # a model may write escape sequences; a terminal would obey them
        self._at_line_start = word.endswith("\n") if word else self._at_line_start
        style = self._styles.get(member)
        if style is not None:
            word = style.render(word, color_system=ColorSystem.STANDARD)
        self.file.write(word)
        self.file.flush()

    def end(self) -> None:
        """End the line that the answer leaves open."""
        if not self._at_line_start:
            self.file.write("\n")
            self.file.flush()
            self._at_line_start = True


_CUT = "The answer ends at a limit: --max-new-tokens, or a context window."


def write_answer(stream: Generator[Round], printer: AnswerPrinter) -> list[Round]:
    """Write the words of an answer as they come; returns its rounds.

    Standard error tells where a limit ended it. typer.Exit where nobody reads on.
    """
    rounds = []
    with closing(stream), Console(stderr=True).status("reading the question …") as status:
        try:
            for round_ in stream:
                status.stop()
                rounds.append(round_)
                for word in round_.words:
                    printer.write(word, round_.member)
            printer.end()
            if rounds and rounds[-1].finish_reason == "length":
                print(_CUT, file=sys.stderr)
        except BrokenPipeError:
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), printer.file.fileno())
            raise typer.Exit(1) from None
        except BaseException:
            status.stop()
            printer.end()  # what is said of it begins a line
            raise
    return rounds


def stats_table(summary: Summary, usage: Mapping[str, MemberUsage]) -> Group:
    """Render a summary, and what the answer cost each member."""
    styles = member_styles(list(usage))
    members = Table(box=None, pad_edge=False)
    members.add_column("member")
    for title in ("words", "prompt", "committed", "forwards", "read", "seconds"):
        members.add_column(title, justify="right")
    for name, spent in usage.items():
        words = summary.words_by_member.get(name, 0)
        counts = (words, spent.prompt_tokens, spent.committed_tokens)
        work = (spent.forward_passes, spent.tokens_processed)
        seconds = f"{sum(spent.seconds.values()):.1f}"
        cells = [str(number) for number in (*counts, *work)]
        members.add_row(Text(name, style=styles[name]), *cells, seconds)
    ratio = summary.tokens_read_per_committed_token
    rounds = (
        f"{summary.rounds} rounds: {summary.unanimous} unanimous, {summary.scored} scored; "
        f"{summary.confident} confident" + (f", {summary.forced} forced" if summary.forced else "")
    )
    read = "" if ratio is None else f"{ratio:.2f} tokens read per committed token"
    took = "" if summary.seconds is None else f"{summary.seconds:.1f} seconds"
    cost = ", ".join(part for part in (read, took) if part)
    return Group(members, Text(rounds), *([Text(cost)] if cost else []))
