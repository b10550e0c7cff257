"""Constrained answers: 200 random JSON schemas times random texts, tiny members and the real pair.

First, without a model, how many schemas are taken, what those that are not are refused for, and of
six random texts of each grammar how many are wrong or run on without an end:

    python -m benchmarks.schemas --members grammar

An answer is right if it parses, its schema accepts it, and it ended by itself (but a number may
fill its tokens with digits). Each answer is a line of the log as soon as it is there; what the log
has as right is not done again. Alone, this takes options:

    python -m benchmarks.schemas --members pair --limit 20 --log schemas.jsonl

The schemas, and what makes an answer wrong, are those of the tests.
"""

import hashlib
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track

from adafuse import ConfigError, Ensemble
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.spec import MemberSpec
from benchmarks.rows import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "oracle"))

from families import family
from grammar_walks import start, walk
from random_schemas import Case, case
from schema_checks import wrong

GRAMMAR = "grammar"  # in place of members: random texts
WALKS = 6
PROMPT = "Make up an example of what the user asks for. Answer in JSON.\n\nThe example:"


def _pair() -> Ensemble:
    folders = prepare_all()
    return Ensemble(load_members([MemberSpec(str(path), name=n) for n, path in folders.items()]))


def _tiny(*names: str) -> Callable[[], Ensemble]:
    return lambda: Ensemble([LocalMember(*family(name, 1), name) for name in names])


ENSEMBLES: dict[str, Callable[[], Ensemble]] = {
    "llama3": _tiny("llama3"),
    "llama": _tiny("llama"),
    "gemma3": _tiny("gemma3"),
    "qwen2": _tiny("qwen2"),
    "llama3+llama": _tiny("llama3", "llama"),
    "gemma3+qwen2": _tiny("gemma3", "qwen2"),
    "pair": _pair,
}


def run(
    limit: int = 200, members: tuple[str, ...] = (GRAMMAR, *ENSEMBLES), log: Path | None = None
) -> dict[str, Any]:
    """Answer under the first `limit` schemas with each ensemble; returns counts and seconds."""
    torch.set_num_threads(1)
    known = _read(log)
    found: dict[str, Any] = {}
    if GRAMMAR in members:
        found[GRAMMAR] = random_texts(limit)
        print(GRAMMAR, found[GRAMMAR], flush=True)
    for name in [name for name in members if name != GRAMMAR]:
        lines = list(_answers(name, limit, known, log))
        seconds = [line["seconds"] for line in lines]
        found[name] = {
            "schemas": len(lines),
            "right": sum(not line["wrong"] for line in lines),
            "finish reasons": dict(Counter(line["finish"] for line in lines)),
            "seconds": {
                "all": round(sum(seconds), 1),
                "median": round(statistics.median(seconds), 2),
                "longest": round(max(seconds), 1),
            },
            "wrong": {line["number"]: line["wrong"] for line in lines if line["wrong"]},
        }
        print(name, found[name], flush=True)
    return found


def random_texts(limit: int) -> dict[str, Any]:
    """How many schemas are taken, and what random texts of their grammars are; without a model."""
    refused: dict[int, str] = {}
    problems: dict[int, str] = {}
    texts: list[str | None] = []
    for number in range(limit):
        schema, rng = case(number).schema, random.Random(number)
        try:
            matcher = start(schema)
        except ConfigError as error:
            refused[number] = str(error)
            continue
        made = [walk(matcher.copy(), rng, first=not at) for at in range(WALKS)]
        wrongs = [wrong(schema, text) for text in made if text is not None]
        if any(wrongs):
            problems[number] = next(filter(None, wrongs))
        texts += made
    return {
        "schemas": limit,
        "taken": limit - len(refused),
        "refused": refused,
        "texts": len(texts),
        "without end": texts.count(None),
        "wrong": problems,
    }


def _answers(
    name: str, limit: int, known: dict[str, dict[str, Any]], log: Path | None
) -> Iterator[dict[str, Any]]:
    """The lines of one ensemble, from the log or new; it is loaded when a line is missing."""
    ensemble: Ensemble | None = None
    for number in track(range(limit), name):
        made = case(number)
        digest = hashlib.sha256(json.dumps(made.schema).encode()).hexdigest()[:12]
        key = f"{name} {number} {digest}"
        if key not in known:
            ensemble = ensemble or ENSEMBLES[name]()
            known[key] = {"key": key, "number": number, **_answer(ensemble, made)}
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[key], ensure_ascii=False) + "\n")
        yield known[key]


def _answer(ensemble: Ensemble, made: Case) -> dict[str, Any]:
    """One line; an error is a wrong answer, whatever it is, and not the end of the measurement."""
    budget = max(96, 2 * made.size + 64)
    text, begun = "", time.perf_counter()
    try:
        answer = ensemble.generate(
            PROMPT, prompt_format="auto", json_schema=made.schema, max_new_tokens=budget
        )
    except Exception as error:
        finish, problem = type(error).__name__, str(error)
    else:
        text, finish = answer.text, answer.finish_reason
        problem = wrong(made.schema, text)  # one that a limit cut raises; closed, it is whole
    seconds = round(time.perf_counter() - begun, 3)
    return {"finish": finish, "wrong": problem, "seconds": seconds, "text": text}


def _read(log: Path | None) -> dict[str, dict[str, Any]]:
    if log is None or not log.exists():
        return {}
    lines = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return {line["key"]: line for line in lines if not line["wrong"]}


def main(
    limit: Annotated[int, typer.Option(help="How many schemas, from the first.")] = 200,
    members: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {GRAMMAR}, {', '.join(ENSEMBLES)}; may be repeated."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="Where answers are kept and found again.")
    ] = None,
) -> None:
    """Answer under random JSON schemas, and print counts as JSON."""
    chosen = tuple(members or (GRAMMAR, *ENSEMBLES))
    if unknown := set(chosen) - {GRAMMAR, *ENSEMBLES}:
        raise typer.BadParameter(f"unknown: {', '.join(sorted(unknown))}")
    typer.echo(json.dumps(run(limit, chosen, log), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    typer.run(main)
