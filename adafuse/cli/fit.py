"""`python -m adafuse fit`: a table and a sentence on standard output, an ensemble in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adafuse.cli.common import OneLineErrors, read_members
from adafuse.cli.layout import Examples, Raw, Shots, SystemMessage, Template, read_layout
from adafuse.cli.options import Device, Dtype, models_option
from adafuse.cli.quiet import quiet_libraries
from adafuse.errors import ConfigError

__all__ = ["app"]

_USE = "adafuse fit --model A --model B questions.jsonl --out ensemble.yaml"
_HELP = (
    "Find out on your texts how much each model should say, and write an ensemble of those that "
    "help.\n\n"
    f"    {_USE}\n\n"
    "Texts are JSON lines (questions with answers, as `adafuse compare` reads them; chats, whose "
    "'messages' end with the assistant's turn; or 'text'), documents (.txt, .md), or folders of "
    "both. Half of them fit, half check, and the other way round. A fit that was interrupted goes "
    "on when it is started again with the same --out."
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneLineErrors, help=_HELP)
def _fit(
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of JSON lines, documents, or folders.", show_default=False),
    ] = None,
    model: Annotated[list[str] | None, models_option(2)] = None,
    out: Annotated[
        Path, typer.Option(help="The file to write; what was read is kept beside it.")
    ] = Path("ensemble.yaml"),
    limit: Annotated[
        int, typer.Option(min=0, help="Of more texts than these, so many are drawn; 0: all.")
    ] = 200,
    answer: Annotated[
        str | None, typer.Option(help="The column with the right answer, if it has its own name.")
    ] = None,
    prose: Annotated[
        bool,
        typer.Option(
            "--prose",
            help="Documents are like what is to be written, not what answers are drawn from.",
        ),
    ] = False,
    template: Template = None,
    system: SystemMessage = None,
    raw: Raw = False,
    examples: Examples = None,
    shots: Shots = 4,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="A string that ends answers too, as in use; may be repeated."),
    ] = None,
    keep_drafters: Annotated[
        bool,
        typer.Option(
            "--keep-drafters",
            help="Also write members without a say: they draft, which is faster where they are "
            "much smaller than the others.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draw, the halves and the bootstrap.")] = 0,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Fit; its help is `_HELP`."""
    if not model:
        raise ConfigError(f"name the models to fit with --model: {_USE}")
    if not data:
        raise ConfigError(f"name the texts to fit to, questions or documents: {_USE}")
    from adafuse.fitting.fitter import fit  # numpy, and an extra
    from adafuse.fitting.terminal import table

    members, settings = read_members(model)
    layout = read_layout(template, system, raw, examples, shots)
    with quiet_libraries():
        result = fit(
            members,
            data,
            out=out,
            layout=layout,
            answer=answer,
            prose=prose,
            limit=limit,
            keep_drafters=keep_drafters,
            seed=seed,
            progress=True,
            device=device,
            dtype=dtype,
            **settings | ({"stop": stop} if stop else {}),
        )
    Console().print(table(result))
    print(f'written to {out}; use it: adafuse "a question" --model {out}')
