"""Run a measurement: `python -m benchmarks speed`, `exactness`, `harness`, `identity`, …."""

import json
from typing import Annotated

import typer

from adafuse.errors import AdaFuseError
from benchmarks import cases, dtypes, exactness, guesses, harness, identity, integrity, schemas
from benchmarks.decisions import command as decisions
from benchmarks.speed import command
from benchmarks.tasks import command as tasks

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure on the demo models.")
app.command("speed")(command.main)
app.command("schemas")(schemas.main)
app.command("decisions")(decisions.main)
app.command("tasks")(tasks.main)
app.command("cases")(cases.main)


@app.command("exactness")
def compare(
    prompts: Annotated[int, typer.Option(help="Compared with greedy `generate`.")] = 20,
    tokens: Annotated[int, typer.Option(help="Of those answers.")] = 64,
    oracle_prompts: Annotated[int, typer.Option(help="Compared with the plain oracle.")] = 10,
) -> None:
    """Compare answers with greedy `generate` and with the oracle, and print counts as JSON."""
    typer.echo(json.dumps(exactness.run(prompts, tokens, oracle_prompts), indent=2))


@app.command("identity")
def same(
    prompts: Annotated[int, typer.Option(help="Of the four workloads in turn.")] = 40,
    tokens: Annotated[int, typer.Option(help="Of an answer.")] = 24,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    branches: Annotated[int, typer.Option(help="As in decoding.")] = 3,
) -> None:
    """Compare answers with speculation and without it, and print counts as JSON."""
    typer.echo(json.dumps(identity.run(prompts, tokens, dtype, branches), indent=2))


@app.command("dtypes")
def narrower(
    rounds: Annotated[int, typer.Option(help="Of the four workloads in turn.")] = 300,
    dtype: Annotated[str, typer.Option(help="Compared with float32.")] = "bfloat16",
) -> None:
    """Count rounds that fall otherwise in another dtype, and print counts as JSON."""
    typer.echo(json.dumps(dtypes.run(rounds, dtype), indent=2))


@app.command("guesses")
def saved_by_guesses(
    prompts: Annotated[int, typer.Option(help="Of each workload.")] = 5,
    tokens: Annotated[int, typer.Option(help="Of an answer.")] = 32,
) -> None:
    """Count the forwards that guesses of each kind save, and print them as JSON."""
    typer.echo(json.dumps(guesses.run(prompts, tokens), indent=2))


@app.command("harness")
def harness_model(
    items: Annotated[int, typer.Option(help="Answers, and as many log-likelihoods.")] = 50,
    tokens: Annotated[int, typer.Option(help="Of an answer.")] = 32,
) -> None:
    """Compare the lm-eval adapter with the harness's own model, and print counts as JSON."""
    typer.echo(json.dumps(harness.run(items, tokens), indent=2, ensure_ascii=False))


@app.command("integrity")
def nothing_lost(
    tokens: Annotated[int, typer.Option(help="Of an answer.")] = 480,
    samples: Annotated[int, typer.Option(help="Of each member, for its perplexity.")] = 1,
) -> None:
    """Check long answers and code token by token, and print perplexities as JSON."""
    typer.echo(json.dumps(integrity.run(tokens, samples), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    try:
        app()
    except (AdaFuseError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise SystemExit(1) from None
