"""The command: measure, show, write, and compare with the committed run."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from adafuse import Ensemble
from adafuse.cli.quiet import quiet_libraries
from benchmarks.rows import ROOT
from benchmarks.speed import batch, footprint, lengths, memory, one_model, reuse, workloads
from benchmarks.speed.figures import Ratios, compare
from benchmarks.speed.machine import describe
from benchmarks.speed.members import PAIRS, count_tokens, load_pairs, real_pair
from benchmarks.speed.plot import draw, draw_one_model
from benchmarks.speed.tables import show

__all__ = ["SECTIONS", "main"]

RESULTS = ROOT / "benchmarks" / "results"
SECTIONS = ("workloads", "one model", "long prompts", "batch", "reuse", "memory", "footprint")


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(SECTIONS)}; may be repeated.")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="For workloads: real, agreeing; both if not given.")
    ] = None,
    prompts: Annotated[int, typer.Option(help="Of each workload; each is one repeat.")] = 5,
    tokens: Annotated[int, typer.Option(help="Of an answer to those.")] = 32,
    plain: Annotated[bool, typer.Option(help="Workloads without speculation too.")] = False,
    length_repeats: Annotated[int, typer.Option(help="Prompts of each length.")] = 2,
    length_tokens: Annotated[int, typer.Option(help="Of an answer to a long prompt.")] = 24,
    batch_prompts: Annotated[int, typer.Option(help="Decoded together.")] = 8,
    batch_tokens: Annotated[int, typer.Option(help="Of each answer in the batch.")] = 64,
    turn_tokens: Annotated[int, typer.Option(help="Of a turn, where prompts grow.")] = 16,
    memory_context: Annotated[int, typer.Option(help="Tokens of the prompt for memory.")] = 1000,
    save: Annotated[bool, typer.Option(help="Make this the committed run.")] = False,
) -> None:
    """Measure speed on the demo models, and compare with the committed run."""
    wanted, pairs = _chosen(only, SECTIONS, "section"), _chosen(pair, PAIRS, "pair")
    if save and (plain or (wanted, pairs) != (list(SECTIONS), list(PAIRS))):
        raise typer.BadParameter("--save goes with none of --only, --pair and --plain")
    console = Console()
    quiet_libraries()
    loaded: dict[str, Ensemble] = {}

    def one(name: str = "real") -> Ensemble:
        if not loaded:
            loaded.update(load_pairs())
        return loaded[name]

    def count(text: str) -> int:
        return count_tokens(one(), text)

    measured: Mapping[str, Callable[[], dict[str, Any]]] = {
        "workloads": lambda: workloads.run(
            {name: one(name) for name in pairs}, count, prompts, tokens, plain
        ),
        "one model": lambda: one_model.run(prompts, tokens),
        "long prompts": lambda: lengths.run(one(), count, length_repeats, length_tokens),
        "batch": lambda: batch.run(one(), count, batch_prompts, batch_tokens),
        "reuse": lambda: reuse.run(real_pair(keep_prompts=True), turn_tokens),
        "memory": lambda: memory.run(memory_context, tokens),
        "footprint": lambda: footprint.run(memory_context, tokens),
    }
    options = {
        "prompts": prompts, "tokens": tokens, "length repeats": length_repeats,
        "length tokens": length_tokens, "batch prompts": batch_prompts,
        "batch tokens": batch_tokens, "turn tokens": turn_tokens, "memory context": memory_context,
    }  # fmt: skip
    start, minutes, figures = time.perf_counter(), {}, {}
    for section in wanted:
        begun = time.perf_counter()
        figures[section] = measured[section]()
        minutes[section] = round((time.perf_counter() - begun) / 60, 1)
    minutes["all"] = round((time.perf_counter() - start) / 60, 1)
    report = {"machine": describe(), "options": options, "minutes": minutes, "figures": figures}
    _write(report, RESULTS / "latest.json")
    # As with the figures, only one of each is committed.
    plot, one_plot = ("speed", "one_model") if save else ("latest", "latest_one_model")
    ratios = _against(RESULTS / "committed.json", report, console)
    show(figures, ratios, console)
    drawn = [
        draw(figures["workloads"], RESULTS / f"{plot}.svg") if "workloads" in figures else True,
        draw_one_model(figures["one model"], RESULTS / f"{one_plot}.svg")
        if "one model" in figures
        else True,
    ]
    if not all(drawn):
        console.print("No plot: matplotlib is not installed (extra `bench`).")
    if save:
        _write(report, RESULTS / "committed.json")
    console.print(f"{minutes['all']} minutes; written to {RESULTS.name}/latest.json, {plot}.svg")


def _chosen(given: list[str] | None, known: tuple[str, ...], what: str) -> list[str]:
    if unknown := set(given or ()) - set(known):
        raise typer.BadParameter(f"unknown {what}: {', '.join(sorted(unknown))}")
    return [name for name in known if not given or name in given]


def _write(report: Mapping[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _against(file: Path, report: dict[str, Any], console: Console) -> Ratios:
    """Every figure by the committed one; nothing if there is none, or if it had other options."""
    if not file.exists():
        console.print("There is no committed run to compare with; --save makes this one it.")
        return {}
    committed = json.loads(file.read_text(encoding="utf-8"))
    if committed["options"] != report["options"]:
        console.print("Not compared: the committed run had other options.")
        return {}
    changed = [
        f"{name} {committed['machine'].get(name)} → {value}"
        for name, value in report["machine"].items()
        if committed["machine"].get(name) != value
    ]
    if changed:
        console.print(f"The committed run differs in: {'; '.join(changed)}.")
    console.print("Behind each figure: how many times the committed one it is, where it differs.")
    return compare(report["figures"], committed["figures"])
