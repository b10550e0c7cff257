"""Run a measurement: `python -m benchmarks speed`, `exactness` or `schemas`; each has `--help`."""

import json
from typing import Annotated

import typer

from adafuse.errors import AdaFuseError
from benchmarks import exactness, schemas
from benchmarks.speed import command

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure on the demo models.")
app.command("speed")(command.main)
app.command("schemas")(schemas.main)


@app.command("exactness")
def compare(
    prompts: Annotated[int, typer.Option(help="Compared with greedy `generate`.")] = 20,
    tokens: Annotated[int, typer.Option(help="Of those answers.")] = 64,
    oracle_prompts: Annotated[int, typer.Option(help="Compared with the plain oracle.")] = 10,
) -> None:
    """Compare answers with greedy `generate` and with the oracle, and print counts as JSON."""
    typer.echo(json.dumps(exactness.run(prompts, tokens, oracle_prompts), indent=2))


if __name__ == "__main__":
    try:
        app()
    except (AdaFuseError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from None
