"""Peak memory of the ensemble against that of plain `generate`, each in a process of its own.

Both load the same two models and answer the same RAG prompt. `generate` runs for one member after
the other, and both caches are kept to the end: that is what weights and caches take in any case.
"""

import json
import resource
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer

from adafuse.demo.models import prepare_all
from benchmarks.rows import ROOT
from benchmarks.speed.figures import ratio
from benchmarks.speed.members import count_tokens, real_pair
from benchmarks.speed.prompts import long_prompts

__all__ = ["peak_of", "run"]


def run(context: int, tokens: int) -> dict[str, Any]:
    """Peaks in MB, over the whole life of each process and after loading, and their ratios."""
    plain, ours = _measure("plain", context, tokens), _measure("ensemble", context, tokens)
    return {
        "plain": plain,
        "ensemble": ours,
        "ratio": ratio(ours["peak"], plain["peak"]),
        "ratio after loading": ratio(ours["peak after loading"], plain["peak after loading"]),
    }


def _measure(kind: str, context: int, tokens: int) -> dict[str, Any]:
    options = ["--context", str(context), "--tokens", str(tokens)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.memory", kind, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(
    kind: Annotated[str, typer.Argument(help="plain or ensemble")],
    context: Annotated[int, typer.Option()] = 1000,
    tokens: Annotated[int, typer.Option()] = 32,
) -> None:
    """Answer once in this process, and print its peaks as JSON."""
    found = _ensemble(context, tokens) if kind == "ensemble" else _plain(context, tokens)
    print(json.dumps(found))


def _ensemble(context: int, tokens: int) -> dict[str, float | None]:
    """As users have it: what a member keeps for later prompts is counted too."""
    pair = real_pair(keep_prompts=True)
    loaded = _peak()
    reset = _reset_peak()
    (prompt,) = long_prompts([context], partial(count_tokens, pair))
    pair.generate(prompt, prompt_format="raw", max_new_tokens=tokens)
    return _found(loaded, reset)


def _plain(context: int, tokens: int) -> dict[str, float | None]:
    folders = list(prepare_all().values())
    models: list[Any] = [
        AutoModelForCausalLM.from_pretrained(f, dtype=torch.float32) for f in folders
    ]
    tokenizers: list[Any] = [AutoTokenizer.from_pretrained(folder) for folder in folders]
    loaded = _peak()
    reset = _reset_peak()
    (prompt,) = long_prompts([context], lambda text: len(tokenizers[0].tokenize(text)))
    kept = []
    for model, tokenizer in zip(models, tokenizers, strict=True):
        kept.append(
            model.generate(
                torch.tensor([tokenizer(prompt)["input_ids"]]),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                return_dict_in_generate=True,
            )
        )
    return _found(loaded, reset)


def _found(loaded: float, reset: bool) -> dict[str, float | None]:
    """Loading may take more than answering does: without a reset, its peak hides the other."""
    after = _peak()
    return {
        "loaded": loaded,
        "peak": max(after, loaded),
        "peak after loading": after if reset else None,
    }


def _peak() -> float:
    """The most resident memory of this process so far, in MB.

    Linux hands `ru_maxrss` down from the process that started this one, so it is the last resort.
    """
    with suppress(OSError, ValueError):
        return peak_of("self")
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def peak_of(process: int | str) -> float:
    """The most resident memory of a process so far, in MB; OSError where there is no Linux."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(peak) / 1024, 1)


def _reset_peak() -> bool:
    """Let the peak begin anew from what is resident now; only Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
