"""Memory and loading time of the demo pair in each way to run it, measured from outside.

Each way has a process of its own, which loads the pair, says so, and answers one RAG prompt. Its
peak is what Linux says of it then. A process that only imports what they all import
stands beside them: models cost what is above it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from adafuse import Ensemble
from adafuse.demo.models import gguf_files, prepare_all
from benchmarks.rows import ROOT
from benchmarks.speed.figures import ratio
from benchmarks.speed.members import count_tokens
from benchmarks.speed.memory import peak_of
from benchmarks.speed.one_model import ENGINES, load_pair
from benchmarks.speed.prompts import long_prompts

__all__ = ["run"]

_IMPORTS = "imports alone"
_LOADED, _ANSWERED = "loaded", "answered"


def run(context: int, tokens: int) -> dict[str, Any]:
    """By way: MB at the peak, MB above imports and their share of the files', seconds to load."""
    ways = [way for way in ENGINES if way != "llama.cpp" or find_spec("llama_cpp") is not None]
    plain = _measure(_IMPORTS, context, tokens)
    found: dict[str, Any] = {_IMPORTS: plain}
    for way in ways:
        here = _measure(way, context, tokens)
        weights = _megabytes(way)
        above = round(here["peak"] - plain["peak"], 1)
        found[way] = {
            **here,
            "above imports": above,
            "files": weights,
            "above imports by files": ratio(above, weights),
            "seconds to load above imports": round(
                here["seconds to load"] - plain["seconds to load"], 2
            ),
        }
    return found


def _measure(way: str, context: int, tokens: int) -> dict[str, float]:
    options = ["--context", str(context), "--tokens", str(tokens)]
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.footprint", way, *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = map(str.strip, process.stdout)
        ready = _LOADED in lines
        seconds = time.perf_counter() - start
        if not ready or _ANSWERED not in lines:
            raise RuntimeError(f"the process of {way!r} ended before it had answered")
        peak = peak_of(process.pid)
        process.communicate("\n")  # it waits for that
    return {"peak": peak, "seconds to load": round(seconds, 2)}


def _megabytes(way: str) -> float:
    files = (
        list(gguf_files().values())
        if way == "llama.cpp"
        else [file for folder in prepare_all().values() for file in folder.glob("*.safetensors")]
    )
    return round(sum(Path(file).stat().st_size for file in files) / 2**20, 1)


def main(
    way: Annotated[str, typer.Argument(help=f"{_IMPORTS!r}, or one of {', '.join(ENGINES)}")],
    context: Annotated[int, typer.Option()] = 1000,
    tokens: Annotated[int, typer.Option()] = 32,
) -> None:
    """Load, say so, and answer once in this process."""
    pair = load_pair(way) if way != _IMPORTS else None
    print(_LOADED, flush=True)
    if pair is not None:
        _answer(pair, context, tokens)
    print(_ANSWERED, flush=True)
    sys.stdin.readline()


def _answer(pair: Ensemble, context: int, tokens: int) -> None:
    (prompt,) = long_prompts([context], partial(count_tokens, pair))
    pair.generate(prompt, prompt_format="raw", max_new_tokens=tokens)


if __name__ == "__main__":
    typer.run(main)
