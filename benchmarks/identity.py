"""Speculation on and off on the demo models: the same answers, round by round.

In float32 a difference that is no near-tie is an error. In narrower types the last digits depend
on what is read beside a token, so that more choices are near-ties: they are counted.
"""

from collections.abc import Sequence
from typing import Any

from rich.progress import track

from adafuse import Answer, DecodingConfig
from adafuse.events import Round
from benchmarks.speed.members import count_tokens, real_pair
from benchmarks.speed.prompts import tasks

__all__ = ["choice_gap", "compared", "run"]

NEAR = 1e-4
"""Nats or probability: what is closer may go either way in float32."""


def run(prompts: int, tokens: int, dtype: str, branches: int) -> dict[str, Any]:
    """Answer every prompt with both; `prompts` are spread over the four workloads.

    Raises:
        AssertionError: in float32, a difference without a near-tie, or scores that differ.
    """
    ensemble = real_pair(dtype=dtype)
    listed = tasks(lambda text: count_tokens(ensemble, text), -(-prompts // 4))
    flat = [task for row in zip(*listed.values(), strict=True) for task in row][:prompts]
    total: dict[str, Any] = {"prompts": len(flat), "rounds": 0, "rounds compared": 0,
                             "answers equal": 0, "near-ties": 0, "largest score difference": 0.0,
                             "passes": [0, 0]}  # fmt: skip
    gaps = []
    for task in track(flat, f"{dtype}, on and off"):
        answers = [
            ensemble.generate(
                task.prompt, prompt_format="auto", stop=task.stop, max_new_tokens=tokens,
                branches=branches, speculation=speculation,
            )
            for speculation in (False, True)
        ]  # fmt: skip
        reached, apart, gap = compared(*answers)
        total["rounds"] += len(answers[0].rounds)
        total["rounds compared"] += reached
        total["answers equal"] += answers[0].text == answers[1].text
        total["near-ties"] += gap is not None
        total["largest score difference"] = max(total["largest score difference"], apart)
        for at, answer in enumerate(answers):
            total["passes"][at] += sum(one.forward_passes for one in answer.usage.values())
        if gap is not None:
            gaps.append(round(gap, 6))
        if dtype == "float32":
            assert apart <= NEAR, f"scores differ by {apart}"
            assert gap is None or gap < NEAR, f"a difference at a gap of {gap}: {task.prompt[-80:]}"
    return {**total, "gaps where they part": gaps}


def compared(one: Answer, other: Answer) -> tuple[int, float, float | None]:
    """Rounds that are equal from the start, the largest score difference in them, and the gap.

    The gap is that of the first round that differs, None if none does.
    """
    apart = 0.0
    for index, (a, b) in enumerate(zip(one.rounds, other.rounds, strict=False)):
        if (a.text, a.winner, _drafts(a)) != (b.text, b.winner, _drafts(b)):
            return index, apart, choice_gap(a, b)
        pairs = zip(a.candidates, b.candidates, strict=True)
        apart = max([apart, *(abs(x.score - y.score) for x, y in pairs if x.score and y.score)])
    same = len(one.rounds) == len(other.rounds) and one.finish_reason == other.finish_reason
    return len(one.rounds), apart, None if same else float("inf")


def _drafts(one: Round) -> list[tuple[str, bool, Sequence[str]]]:
    return [(c.text, c.ends, c.drafters) for c in one.candidates]


def choice_gap(a: Round, b: Round) -> float:
    """How close the choice was: of scores if the candidates are equal, else of margins.

    A margin near 0 is nearly a tie of two tokens; one near the threshold may be tested otherwise.
    """
    if _drafts(a) == _drafts(b):
        best = sorted(c.score for c in a.candidates if c.score is not None)[:2]
        return best[1] - best[0]
    threshold = DecodingConfig().margin_threshold
    margins = [margin for one in (a, b) for all_ in one.margins.values() for margin in all_]
    return min((min(one, abs(one - threshold)) for one in margins), default=float("inf"))
