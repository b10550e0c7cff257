"""`python -m benchmarks tasks`: its options, and what it writes."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from adafuse.compare.answers import Ledger
from adafuse.compare.terminal import progress_bars
from adafuse.errors import ConfigError
from adafuse.loading.loader import load_members
from benchmarks.rows import FOLDER
from benchmarks.tasks import answering, results, systems
from benchmarks.tasks.catalogue import TASKS, questions_of

__all__ = [
    "RESULTS",
    "Batch",
    "DType",
    "Ensembles",
    "Members",
    "Plain",
    "Systems",
    "Threads",
    "main",
]

RESULTS = Path(__file__).parent.parent / "results" / "tasks.json"
WIDTH = 130  # columns that a table needs
Members = Annotated[
    list[str] | None,
    typer.Option(
        "--member", help="NAME=FOLDER of a model beside the demo models; may be repeated."
    ),
]
Plain = Annotated[
    list[str] | None,
    typer.Option(help="A member that reads questions and answers as a list, not in chat form."),
]
Ensembles = Annotated[
    list[str] | None,
    typer.Option("--ensemble", help="Such as smollm2+qwen; default: all pairs, and all together."),
]
Systems = Annotated[
    list[str] | None,
    typer.Option(
        "--system",
        help="NAME=key:value,key:value for every ensemble, NAME@a+b=… for these members (or one), "
        "or NAME=ensemble.yaml; may be repeated. Default: paper=preset:paper.",
    ),
]
DType = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
Threads = Annotated[int, typer.Option(min=0, help="Cores that a forward uses; 0: torch's choice.")]
Batch = Annotated[int, typer.Option(min=1, help="Answers that are decoded at the same time.")]


def main(
    task: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(TASKS)}; default: all.")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of the rows; see `benchmarks.rows`.")] = FOLDER,
    rows: Annotated[int, typer.Option(min=1, help="Of each task.")] = 150,
    offset: Annotated[int, typer.Option(help="First row; below 0: from the file's end.")] = 0,
    member: Members = None,
    plain: Plain = None,
    ensemble: Ensembles = None,
    system: Systems = None,
    batch: Batch = 8,
    dtype: DType = "float32",
    threads: Threads = 0,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no answer later; 0: no end.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap, and of drawn answers.")] = 0,
    folder: Annotated[Path, typer.Option(help="Keeps answers: a run goes on there.")] = Path(
        "evidence"
    ),
    save: Annotated[
        bool, typer.Option("--save", help=f"Also write results/{RESULTS.name}.")
    ] = False,
) -> None:
    """Answer public test sets with members, ensembles and settings, and compare them pairwise."""
    if unknown := set(task or []) - set(TASKS):
        raise ConfigError(f"there is no task {min(unknown)!r}; there are: {', '.join(TASKS)}")
    chosen = {name: TASKS[name] for name in task or TASKS}
    questions = {name: questions_of(one, data, rows, offset) for name, one in chosen.items()}
    folders = systems.find_members(member or [])
    plans = systems.plan([*folders], ensemble or [], system or [f"paper={systems.PAPER}"])
    specs = systems.needed(folders, plans, dtype, plain or [])
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "ledger.jsonl")
    if threads:
        torch.set_num_threads(threads)
    members = load_members(specs)
    built = {
        name: systems.build(plans, members, {**one.settings, "seed": seed})
        for name, one in chosen.items()
    }
    end = time.monotonic() + 60 * minutes if minutes else float("inf")
    with progress_bars(True) as bars:
        lines = {
            name: bars.add_task(name, total=len(plans) * len(asked))
            for name, asked in questions.items()
        }
        answers = answering.answer_all(
            questions,
            built,
            ledger,
            models={spec.name or "": asdict(spec) for spec in specs},
            width=batch,
            in_time=lambda: time.monotonic() < end,
            advance=lambda name, count: bars.advance(lines[name], count),
        )
    metrics = {name: one.metric for name, one in chosen.items()}
    found = results.compared(questions, built, answers, metrics, seed)
    options = {"offset": offset, "seed": seed, "dtype": dtype, "batch": batch, "plain": plain or []}
    console = Console()
    console.width = max(console.width, WIDTH)
    record: dict[str, Any] = {**options, "tables": {}}
    for name, one in found.items():
        record["tables"][name] = figures = results.summary(one)
        console.print(results.table(name, figures))
        one.save_answers(folder / f"{name.replace(' ', '-')}.jsonl")
    if save:
        text = json.dumps(record, ensure_ascii=False, indent=2)
        RESULTS.write_text(f"{text}\n", encoding="utf-8")
