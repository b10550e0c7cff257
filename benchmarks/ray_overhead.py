"""What a cluster costs: the demo models as actors on two nodes, against both in one process.

    python -m benchmarks.ray_overhead [--prompts 20] [--tokens 16]

Both nodes are on this machine, so calls cross processes, not a network. Every prompt is answered by
both in turn, with speculation on and off. With it on, members in one process tell each other what
they drafted, and members elsewhere draft at the same time instead: time a round is then not the
network's alone. A call by itself is measured too.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track

from adafuse import Answer, Ensemble
from adafuse.demo.models import prepare_all
from adafuse.remote.member import RemoteMember
from benchmarks.identity import compared
from benchmarks.rows import rag_prompt, rows
from benchmarks.speed.machine import describe

RESULT = Path(__file__).parent / "results" / "ray.json"
_CALLS = 200


def run(prompts: int, tokens: int) -> dict[str, Any]:
    """Answer rows of SQuAD here and there; counts, and milliseconds."""
    import ray
    from ray.cluster_utils import Cluster

    torch.set_num_threads(1)  # as an actor with one core has it
    folders = prepare_all()
    asked = [rag_prompt(row) for row in rows("squad", prompts)]
    here = Ensemble.load([{"model": str(path), "prompt_cache_mb": 0} for path in folders.values()])
    node = {"num_cpus": 1, "include_dashboard": False}
    cluster: Any = Cluster()
    try:
        for name in folders:
            cluster.add_node(**node, resources={name: 1})
        specs = [
            {"model": str(path), "prompt_cache_mb": 0, "ray": {"resources": {name: 1}}}
            for name, path in folders.items()
        ]
        with Ensemble.load(specs, backend="ray", address=cluster.address) as there:
            return {
                "machine": describe(),
                "ray": ray.__version__,
                "prompts": prompts,
                "tokens": tokens,
                "call_ms": _call(there),
                "speculation": _both(here, there, asked, tokens, speculation=True),
                "no_speculation": _both(here, there, asked, tokens, speculation=False),
            }
    finally:
        ray.shutdown()
        cluster.shutdown()


def _call(there: Ensemble) -> dict[str, float]:
    """How long a call without any work takes, there and back."""
    member: Any = there.members[0]
    assert isinstance(member, RemoteMember)
    taken = []
    for _ in range(_CALLS):
        begun = time.perf_counter()
        member.count_tokens("")
        taken.append(1000 * (time.perf_counter() - begun))
    return {
        "median": round(statistics.median(taken), 2),
        "p95": round(statistics.quantiles(taken, n=20)[-1], 2),
    }


def _both(
    here: Ensemble, there: Ensemble, asked: list[str], tokens: int, *, speculation: bool
) -> dict[str, Any]:
    seconds, outside, rounds = [0.0, 0.0], [0.0, 0.0], [0, 0]
    equal = near = 0
    for ensemble in (here, there):  # what is made when it is first needed
        ensemble.generate(asked[0], max_new_tokens=2, prompt_format="auto")
    for prompt in track(asked, f"speculation {'on' if speculation else 'off'}"):
        answers: list[Answer] = []
        for at, ensemble in enumerate((here, there)):
            begun = time.perf_counter()
            answer = ensemble.generate(
                prompt, prompt_format="auto", max_new_tokens=tokens, stop="\n",
                speculation=speculation,
            )  # fmt: skip
            taken = time.perf_counter() - begun
            seconds[at] += taken
            outside[at] += taken - sum(sum(used.seconds.values()) for used in answer.usage.values())
            rounds[at] += len(answer.rounds)
            answers.append(answer)
        equal += answers[0].text == answers[1].text
        near += compared(*answers)[2] is not None
    found: dict[str, Any] = {
        "answers_equal": equal,
        "rounds_that_part_at_a_near_tie": near,
        "rounds": rounds[0],
        "ms_per_round": _per_round(seconds, rounds),
    }
    if not speculation:  # members take turns, and what is not theirs is the loop's and the way
        found["ms_per_round_outside_members"] = _per_round(outside, rounds)
    return found


def _per_round(seconds: list[float], rounds: list[int]) -> dict[str, float]:
    here, there = (1000 * one / count for one, count in zip(seconds, rounds, strict=True))
    return {"in_process": round(here, 2), "ray": round(there, 2)}


def main(
    prompts: Annotated[int, typer.Option(help="Rows of SQuAD.")] = 20,
    tokens: Annotated[int, typer.Option(help="Of an answer.")] = 16,
) -> None:
    """Measure, print and write benchmarks/results/ray.json."""
    found = json.dumps(run(prompts, tokens), indent=2)
    RESULT.write_text(found + "\n", encoding="utf-8")
    typer.echo(found)


if __name__ == "__main__":
    typer.run(main)
