"""What an answer costs: counts, and seconds beside the members' own greedy `generate`.

Members and ensemble take turns on the same prompt within one run, so that a machine whose speed
drifts does not favour either.
"""

import statistics
import time
from typing import Any

import torch
from rich.progress import track

from adafuse import Ensemble
from adafuse.config import MemberSpec
from adafuse.loading import load_members
from adafuse.local import LocalMember
from adafuse.models import prepare_all
from adafuse.prompts import read_prompt
from benchmarks.rows import rag_prompt, rows


def run(prompts: int = 10, tokens: int = 48) -> dict[str, Any]:
    """Answer SQuAD prompts at the default settings; returns counts and ratios."""
    folders = prepare_all()
    members = load_members([MemberSpec(str(folder), name=name) for name, folder in folders.items()])
    ensemble = Ensemble(members)
    totals = {m.name: dict.fromkeys(("committed", "passes", "processed"), 0) for m in members}
    ratios, ours, theirs = [], 0.0, 0.0
    ensemble.generate("Warm up.", max_new_tokens=4)
    for row in track(rows("squad", prompts), "squad"):
        prompt = rag_prompt(row)
        start = time.perf_counter()
        answer = ensemble.generate(
            prompt, prompt_format="auto", stop=("\n",), max_new_tokens=tokens
        )
        seconds = time.perf_counter() - start
        alone = 0.0
        for member in members:
            usage = answer.usage[member.name]
            alone += _greedy_seconds(member, prompt, max(usage.committed_tokens, 1))
            total = totals[member.name]
            total["committed"] += usage.committed_tokens
            total["passes"] += usage.forward_passes - 1  # after prefill
            total["processed"] += usage.tokens_processed - usage.prompt_tokens
        ratios.append(seconds / alone)
        ours, theirs = ours + seconds, theirs + alone
    everyone = {
        key: sum(total[key] for total in totals.values())
        for key in ("committed", "passes", "processed")
    }
    per_token = {
        name: {
            "forward passes per committed token": round(t["passes"] / t["committed"], 3),
            "tokens processed per committed token": round(t["processed"] / t["committed"], 3),
            "committed tokens": t["committed"],
        }
        for name, t in {**totals, "all": everyone}.items()
    }
    found = {
        "prompts": prompts,
        "after prefill": per_token,
        "time ratio": round(ours / theirs, 3),
        "time ratio, median of prompts": round(statistics.median(ratios), 3),
        "seconds": {"ensemble": round(ours, 1), "members one after another": round(theirs, 1)},
    }
    print(found, flush=True)
    return found


def _greedy_seconds(member: LocalMember, prompt: str, tokens: int) -> float:
    """Seconds of greedy `generate` for as many tokens as the member committed."""
    ids = member.render(read_prompt(prompt, "auto")).ids
    model = member.backbone.model
    start = time.perf_counter()
    model.generate(  # type: ignore[operator]
        torch.tensor([ids], device=model.device),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
    )
    return time.perf_counter() - start
