"""The command: read texts, keep records, compare rules."""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from adafuse.cli.quiet import quiet_libraries
from adafuse.compare.terminal import progress_bars
from adafuse.demo.models import prepare_all
from adafuse.errors import ConfigError
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from benchmarks.decisions.reading import BRANCHES, MARGIN, MAX_WORD_TOKENS, Reader
from benchmarks.decisions.records import Ledger, run_kind
from benchmarks.decisions.texts import KINDS, texts
from benchmarks.members import specs_of
from benchmarks.rows import FOLDER
from benchmarks.tasks.command import DType, Plain

__all__ = ["load", "main", "run"]


def main(
    members: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER or a hub id; may be repeated. Default: the demo models."),
    ] = None,
    plain: Plain = None,
    dtype: DType = "float32",
    borders: Annotated[int, typer.Option(help="Of each kind, at least.", min=1)] = 1000,
    kinds: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the texts' order, halves and resamples.")] = 0,
    data: Annotated[Path, typer.Option(help="Holds squad.jsonl and others.")] = FOLDER,
    prose: Annotated[Path | None, typer.Option(help="Text files; default: SQuAD contexts.")] = None,
    out: Annotated[Path, typer.Option(help="Keeps records; a run goes on.")] = Path("decisions"),
    threads: Annotated[int | None, typer.Option(help="Of torch.")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Compare rules from the records, and read nothing.")
    ] = False,
) -> None:
    """Compare rules of fusing on the next words of reference texts, teacher forced."""
    if unknown := set(kinds or ()) - set(KINDS):
        raise typer.BadParameter(f"unknown kind: {', '.join(sorted(unknown))}")
    wanted = [kind for kind in KINDS if not kinds or kind in kinds]
    if threads:
        torch.set_num_threads(threads)
    if not report:
        with quiet_libraries():
            run(out, wanted, members or [], dtype, borders, seed, data, prose, plain or ())
    from benchmarks.decisions.report import write_report

    write_report(out, wanted, seed, shlex.join(sys.argv[1:]), _console())


def run(
    out: Path,
    kinds: list[str],
    members: list[str],
    dtype: str,
    borders: int,
    seed: int,
    data: Path,
    prose: Path | None = None,
    plain: Sequence[str] = (),
    loaded: list[LocalMember] | None = None,
) -> None:
    """Read texts of each kind until there are so many borders on record.

    `loaded` are members in place of those named.
    """
    names = [member.name for member in loaded] if loaded else [_named(one)[0] for one in members]
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, {
        "members": names or list(prepare_all()), "dtype": dtype, "seed": seed,
        "branches": BRANCHES, "margin threshold": MARGIN, "max word tokens": MAX_WORD_TOKENS,
        "prose": prose.name if prose else "squad", "plain": sorted(plain),
    })  # fmt: skip
    readers = {one.name: Reader(one) for one in loaded or load(members, dtype, plain)}
    with progress_bars(shown=True) as bars:
        for kind in kinds:
            began, ledger = time.perf_counter(), Ledger(out / f"{kind}.jsonl")
            folder = prose if kind == "prose" and prose else data
            run_kind(readers, texts(kind, folder, seed), borders, ledger, bars)
            bars.console.print(f"{kind}: {time.perf_counter() - began:.0f} s")


def load(members: list[str], dtype: str, plain: Sequence[str] = ()) -> list[LocalMember]:
    """Members by name; see `specs_of` for how they read messages."""
    named = dict(map(_named, members)) or {
        name: str(folder) for name, folder in prepare_all().items()
    }
    return load_members(specs_of(named, dtype, plain, cache_mb=0))


def _console() -> Console:
    """Wide enough for a table in a file too."""
    return Console() if sys.stdout.isatty() else Console(width=150)


def _named(member: str) -> tuple[str, str]:
    name, equals, model = member.partition("=")
    return (name, model) if equals else (Path(member).name, member)


def _claim(out: Path, made_of: dict[str, Any]) -> None:
    """Records of different members or settings do not go into one folder."""
    file = out / "run.json"
    made_of |= {name: version(name) for name in ("torch", "transformers")}
    if file.exists() and (known := json.loads(file.read_text(encoding="utf-8"))) != made_of:
        changed = [name for name in made_of if known.get(name) != made_of[name]]
        raise ConfigError(
            f"{out} holds records with other {', '.join(changed)}; name another folder with --out"
        )
    file.write_text(json.dumps(made_of, indent=2) + "\n", encoding="utf-8")
