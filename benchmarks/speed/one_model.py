"""The demo pair beside what a user would run in its place: the better member alone.

In each way to run models (transformers in float32 and in bfloat16, llama.cpp): the pair, the pair
where only the better member decides (its weight 1, the other drafts for speed), and the better
member's own greedy decoding; in transformers also its assisted decoding, where the other member
drafts (`assistant_model`). All of them answer a prompt in turn, each prompt begins with another,
and alone a member decodes as many tokens as it committed in the answer that it stands beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from rich.progress import track

from adafuse import Ensemble
from adafuse.demo.models import gguf_files
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import Prompt, read_prompt
from benchmarks.speed.figures import median, passes_per_token, ratio
from benchmarks.speed.members import gguf_pair, real_pair
from benchmarks.speed.prompts import Task, tasks
from benchmarks.speed.timing import Timed, timed, token_times

__all__ = ["ENGINES", "Beside", "Engine", "engines", "figures", "load_pair", "run"]

ENGINES = ("float32", "bfloat16", "llama.cpp")
_BETTER, _WORSE = "gemma3", "smollm2"  # by the tasks in docs/evidence.md


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the pair.

    Attributes:
        times: seconds until each of so many tokens of the better member's own greedy decoding.
        assisted: seconds of its assisted decoding of so many tokens, and until the first one.
    """

    pair: Ensemble
    times: Callable[[Prompt, int], list[float]]
    assisted: Callable[[Prompt, int], tuple[float, float]] | None


@dataclass(frozen=True, slots=True)
class Beside:
    """The answers to one prompt, and the seconds of the better member's own decoding of each."""

    together: Timed
    leader: Timed
    alone: float  # for as many tokens as it committed in `together`
    leader_alone: float  # likewise in `leader`
    first: float  # until its first token
    assisted: tuple[float, float] | None  # for as many as in `leader`


def run(prompts: int, tokens: int) -> dict[str, Any]:
    """Figures by workload and engine, and how the pair's seconds compare with those in float32."""
    loaded = dict(engines())
    better = next(m for m in loaded["float32"].pair.members if m.name == _BETTER)
    assert isinstance(better, LocalMember)
    for engine in loaded.values():
        _beside(engine, Task("Warm up."), 4)
    found: dict[str, Any] = {}
    names = list(loaded)
    for workload, listed in tasks(better.count_tokens, prompts).items():
        turns: dict[str, list[Beside]] = {name: [] for name in names}
        for number, task in enumerate(track(listed, workload)):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                turns[name].append(_beside(loaded[name], task, tokens))
        found[workload] = figures(turns)
    return found


def figures(turns: Mapping[str, Sequence[Beside]]) -> dict[str, Any]:
    """Medians over the prompts of one workload, by engine; ratios are those of each prompt."""
    plain = [turn.together.seconds for turn in turns["float32"]]
    return {name: _cell(listed, plain) for name, listed in turns.items()}


def _cell(turns: Sequence[Beside], plain: Sequence[float]) -> dict[str, Any]:
    usages = [usage for turn in turns for usage in turn.together.answer.usage.values()]
    assisted = [turn.assisted for turn in turns if turn.assisted is not None]
    return {
        "pair, seconds": median(turn.together.seconds for turn in turns),
        "pair, first word": median(turn.together.first_word for turn in turns),
        "pair, passes per token": passes_per_token(usages),
        "alone, seconds": median(turn.alone for turn in turns),
        "alone, first token": median(turn.first for turn in turns),
        "pair by alone": median(ratio(turn.together.seconds, turn.alone) for turn in turns),
        "pair by pair in float32": median(
            ratio(turn.together.seconds, seconds)
            for turn, seconds in zip(turns, plain, strict=True)
        ),
        "one decides, seconds": median(turn.leader.seconds for turn in turns),
        "one decides by alone": median(
            ratio(turn.leader.seconds, turn.leader_alone) for turn in turns
        ),
        "assisted, seconds": median(seconds for seconds, _ in assisted),
        "assisted, first token": median(first for _, first in assisted),
        "assisted by alone": median(
            ratio(turn.assisted[0], turn.leader_alone) for turn in turns if turn.assisted
        ),
    }


def _beside(engine: Engine, task: Task, tokens: int) -> Beside:
    def answer(**settings: Any) -> Timed:
        return timed(
            engine.pair, task.prompt, prompt_format="auto", stop=task.stop,
            max_new_tokens=tokens, **settings,
        )  # fmt: skip

    weights = [float(member.name == _BETTER) for member in engine.pair.members]
    together, leader = answer(), answer(weights=weights)
    counts = [max(one.answer.usage[_BETTER].committed_tokens, 1) for one in (together, leader)]
    prompt = read_prompt(task.prompt, "auto")
    seconds = engine.times(prompt, max(counts))
    assisted = engine.assisted(prompt, counts[1]) if engine.assisted else None
    return Beside(
        together, leader, seconds[counts[0] - 1], seconds[counts[1] - 1], seconds[0], assisted
    )


def engines() -> Iterator[tuple[str, Engine]]:
    """The ways that can be run here, by name: llama.cpp where it is installed."""
    for name in ENGINES:
        if name == "llama.cpp" and find_spec("llama_cpp") is None:
            continue
        pair = load_pair(name)
        members = {m.name: m for m in pair.members if isinstance(m, LocalMember)}
        better, worse = members[_BETTER], members[_WORSE]
        if name == "llama.cpp":
            yield name, Engine(pair, _greedy_llama(better, str(gguf_files()[_BETTER])), None)
        else:
            yield name, Engine(pair, _greedy(better), _assisted(better, worse))


def load_pair(engine: str) -> Ensemble:
    """The demo pair in one of `ENGINES`; its members keep nothing of earlier prompts."""
    return gguf_pair() if engine == "llama.cpp" else real_pair(dtype=engine)


def _greedy(member: LocalMember) -> Callable[[Prompt, int], list[float]]:
    return lambda prompt, tokens: token_times(member, prompt, tokens)


def _assisted(
    better: LocalMember, worse: LocalMember
) -> Callable[[Prompt, int], tuple[float, float]]:
    """Assisted decoding of transformers across tokenizers, which re-encodes what is drafted."""

    def measure(prompt: Prompt, tokens: int) -> tuple[float, float]:
        times = token_times(
            better, prompt, tokens,
            assistant_model=worse.runner.model,
            tokenizer=better.tokenizer,
            assistant_tokenizer=worse.tokenizer,
        )  # fmt: skip
        return times[-1], times[0]

    return measure


def _greedy_llama(member: LocalMember, file: str) -> Callable[[Prompt, int], list[float]]:
    """llama-cpp-python's own loop, with as many threads as torch has."""
    from llama_cpp import Llama

    threads = torch.get_num_threads()
    llama = Llama(file, n_ctx=4096, n_threads=threads, n_threads_batch=threads, verbose=False)

    def measure(prompt: Prompt, tokens: int) -> list[float]:
        ids = list(member.render(prompt).ids)
        llama.reset()  # it would reuse what the last prompt had in common
        start, seconds = time.perf_counter(), []
        for _ in llama.generate(ids, temp=0.0):
            seconds.append(time.perf_counter() - start)
            if len(seconds) == tokens:
                break
        return seconds

    return measure
