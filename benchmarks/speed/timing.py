"""Taking times: of an ensemble's answer, and of a member's own greedy `generate`."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

from adafuse import Answer, Ensemble
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import Prompt

__all__ = ["Timed", "timed", "token_times"]


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer of an ensemble, and the seconds it took.

    Attributes:
        seconds: from the call to the end.
        first_word: from the call to the first round that has words; None if there was none.
    """

    answer: Answer
    seconds: float
    first_word: float | None


def timed(ensemble: Ensemble, prompt: Any, **settings: Any) -> Timed:
    """Answer, with the clock running.

    Raises:
        RuntimeError: the answer profits from an earlier one, so its seconds are not its own.
    """
    start, first, rounds = time.perf_counter(), None, []
    for one in ensemble.stream(prompt, **settings):
        if first is None and one.words:
            first = time.perf_counter() - start
        rounds.append(one)
    seconds = time.perf_counter() - start
    answer = Answer.fold(rounds)
    if any(usage.reused_tokens for usage in answer.usage.values()):
        raise RuntimeError("a member reused an earlier prompt; load it with prompt_cache_mb=0")
    return Timed(answer, seconds, first)


class _Clock(BaseStreamer):
    """Notes the time of every token; the first call brings the prompt, not a token."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.seconds: list[float] = []
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        """A token is there."""
        if not self._prompt:
            self.seconds.append(time.perf_counter() - self.start)
        self._prompt = False

    def end(self) -> None:
        """Nothing to do."""


def token_times(member: LocalMember, prompt: Prompt, tokens: int, **options: Any) -> list[float]:
    """Seconds of transformers' greedy `generate` until each of `tokens` tokens was there.

    It reads what the member reads, and does not stop at an end token. One run is the measure for
    all answers of up to so many tokens. `options` are `generate`'s own.
    """
    ids = member.render(prompt).ids
    model = member.runner.model
    clock = _Clock()
    model.generate(  # type: ignore[operator]
        torch.tensor([ids], device=model.device),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        streamer=clock,
        **options,
    )
    return clock.seconds
