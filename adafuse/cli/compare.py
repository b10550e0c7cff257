"""`python -m adafuse compare`: a table on standard output, files in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from adafuse.cli.common import OneLineErrors, read_members
from adafuse.cli.layout import Examples, Raw, Shots, SystemMessage, Template, read_layout
from adafuse.cli.options import Device, Dtype, decoding_options, models_option
from adafuse.cli.quiet import quiet_libraries
from adafuse.errors import ConfigError

__all__ = ["app"]

_HELP = (
    "Ask several models, and their ensemble, the same questions, and compare.\n\n"
    "Questions are JSON lines: 'messages', 'prompt', 'question' (with 'context' or 'choices') or "
    "'source', and the right 'answers' (or 'answer', 'reference', 'target'). An interrupted "
    "comparison goes on where it was when it is started again with the same --out."
)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneLineErrors, help=_HELP)
@decoding_options("stop", max_new_tokens=64)
def _compare(
    model: Annotated[list[str], models_option(2)],
    data: Annotated[Path, typer.Option(help="The questions, JSON lines.")],
    dev: Annotated[
        Path | None,
        typer.Option(help="Other questions, on which the best pair and variant are chosen."),
    ] = None,
    dev_rows: Annotated[
        int, typer.Option(min=0, help="Take the first questions of --data for that.")
    ] = 0,
    limit: Annotated[
        int, typer.Option(min=0, help="Only so many questions are reported; 0: all.")
    ] = 0,
    metric: Annotated[
        str | None,
        typer.Option(
            help="squad, numeric, choice, contains, translation, or your own as module:function or "
            "file.py:function, from the answer and the row to a number. Default: by the fields."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Settings to try beside the defaults, such as 'branches=1 weights=[1,2]', with a "
            "name before a colon if you like; may be repeated."
        ),
    ] = None,
    explore: Annotated[
        bool, typer.Option("--explore", help="Try the usual variants, one change each.")
    ] = False,
    template: Template = None,
    system: SystemMessage = None,
    raw: Raw = False,
    examples: Examples = None,
    shots: Shots = 4,
    out: Annotated[Path, typer.Option(help="Folder for answers and the report.")] = Path(
        "comparison"
    ),
    traces: Annotated[
        bool, typer.Option("--traces", help="Also a page for each new answer of an ensemble.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    device: Device = None,
    dtype: Dtype = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Compare; its help is `_HELP`."""
    from adafuse.compare.comparison import compare  # needs an extra
    from adafuse.compare.dataset import read_rows
    from adafuse.compare.systems import read_variant
    from adafuse.compare.terminal import table

    members, of_file = read_members(model)
    variants: dict[str, dict[str, Any]] = {}
    for text in variant or []:
        name, changes = read_variant(text)
        if name in variants:
            raise ConfigError(f"two variants are named {name!r}")
        variants[name] = changes
    if dev is not None and dev_rows:
        raise ConfigError("give --dev or --dev-rows, not both")
    rows = read_rows(data)
    rows = rows[: limit + dev_rows] if limit else rows
    layout = read_layout(template, system, raw, examples, shots)
    with quiet_libraries():
        comparison = compare(
            members,
            rows,
            metric=metric,
            variants=variants,
            explore=explore,
            dev=dev if dev is not None else dev_rows or None,
            layout=layout,
            folder=out,
            traces=traces,
            seed=seed,
            progress=True,
            device=device,
            dtype=dtype,
            **{**of_file, **settings},
        )
    (out / "summary.json").write_text(
        json.dumps(comparison.summary(), ensure_ascii=False, indent=2), encoding="utf-8"
    )
    Console().print(table(comparison))
    Console(stderr=True).print(f"answers and report: {out}")
