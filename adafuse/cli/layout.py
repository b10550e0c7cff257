"""How questions become prompts, as options: the same for every command that reads questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adafuse.cli.common import file_or_text

if TYPE_CHECKING:
    from adafuse.compare.dataset import Layout

__all__ = ["Examples", "Raw", "Shots", "SystemMessage", "Template", "read_layout"]

Template = Annotated[
    str | None,
    typer.Option(help="The user's message in Jinja, such as '{{ question }}'; or a file."),
]
SystemMessage = Annotated[str | None, typer.Option(help="A system message.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="Prompts are text to be completed, without a chat.")
]
Examples = Annotated[
    Path | None, typer.Option(help="Rows that are shown solved before each question.")
]
Shots = Annotated[int, typer.Option(min=0, help="How many of --examples.")]


def read_layout(
    template: str | None, system: str | None, raw: bool, examples: Path | None, shots: int
) -> Layout:
    """The layout that the options give; ConfigError where a file of them is wrong."""
    from adafuse.compare.dataset import Layout, read_rows  # needs an extra

    return Layout(
        template=file_or_text(template) if template is not None else None,
        system=system,
        examples=tuple(read_rows(examples)[:shots] if examples is not None else []),
        raw=raw,
    )
