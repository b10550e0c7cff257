"""Run measurements: `python -m benchmarks [exactness] [cost] [schemas]`; all if none is named."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from adafuse.errors import AdaFuseError
from benchmarks import cost, exactness, schemas

MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "cost": cost.run,
    "exactness": exactness.run,
    "schemas": schemas.run,
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help="cost, exactness, schemas")] = None,
) -> None:
    """Measure on the two demo models, and print what was found as JSON."""
    wanted = names or list(MEASUREMENTS)
    if unknown := set(wanted) - set(MEASUREMENTS):
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}")
    try:
        found = {name: MEASUREMENTS[name]() for name in wanted}
    except (AdaFuseError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))


if __name__ == "__main__":
    typer.run(main)
