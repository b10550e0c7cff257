"""Forwards that several threads ask for: shared, in turns, and each with its own error."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from adafuse import Ensemble
from adafuse.local import LocalMember
from families import FAMILIES

PROMPTS = tuple(f"{number} bottles of" for number in range(6))


def own(name: str) -> LocalMember:
    return LocalMember(*FAMILIES[name](1, eos_bias=-9.0), name, prompt_cache_mb=0)


def texts(ensemble: Ensemble, prompts: Any = PROMPTS) -> list[Any]:
    def one(prompt: str) -> Any:
        try:
            return ensemble.generate(prompt, max_new_tokens=16).text
        except Exception as error:
            return type(error)

    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(one, prompts))


def test_a_shared_forward_that_fails_is_run_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("llama")
    ensemble = Ensemble([one])
    alone = [ensemble.generate(p, max_new_tokens=16).text for p in PROMPTS]
    packed, shared = one.backbone.forward_packed, []

    def half_way(requests: Any) -> Any:
        rows = packed(requests)
        if len(requests) == 1:
            return rows
        shared.append(len(requests))  # the caches are written to, and then it fails
        raise torch.OutOfMemoryError

    monkeypatch.setattr(one.backbone, "forward_packed", half_way)
    assert texts(ensemble) == alone
    assert shared


def test_only_the_row_at_fault_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("gpt2")
    ensemble = Ensemble([one])
    alone = [ensemble.generate(p, max_new_tokens=16).text for p in PROMPTS]
    forward = one.backbone.forward

    def failing(request: Any) -> Any:
        if threading.current_thread().name.endswith("_0") and len(request.tokens) > 3:
            raise MemoryError
        return forward(request)

    monkeypatch.setattr(one.backbone, "forward", failing)
    found = texts(ensemble)
    assert all(text in (right, MemoryError) for text, right in zip(found, alone, strict=True))
    monkeypatch.undo()
    assert texts(ensemble) == alone


def test_an_interrupted_thread_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    one = own("qwen2")
    ensemble = Ensemble([one])
    alone = ensemble.generate(PROMPTS[1], max_new_tokens=16).text
    forward, times = one.backbone.forward, []

    def interrupted(request: Any) -> Any:
        times.append(1)
        if len(times) == 3:
            raise KeyboardInterrupt
        return forward(request)

    monkeypatch.setattr(one.backbone, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensemble.generate(PROMPTS[0], max_new_tokens=16)
    assert ensemble.generate(PROMPTS[1], max_new_tokens=16).text == alone


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_forward_that_failed_leaves_nothing_wrong_in_the_prompt_cache(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = LocalMember(*FAMILIES["llama"](1, eos_bias=-9.0), "llama", prompt_cache_mb=8)
    ensemble = Ensemble([one])
    plain = ensemble.generate(PROMPTS[0], max_new_tokens=16, speculation=False).text
    forward, times = one.backbone.forward, []

    def failing(request: Any) -> Any:
        times.append(1)
        if len(times) == at:
            raise MemoryError
        return forward(request)

    monkeypatch.setattr(one.backbone, "forward", failing)
    with pytest.raises(MemoryError):
        ensemble.generate(PROMPTS[0], max_new_tokens=16)
    assert ensemble.generate(PROMPTS[0], max_new_tokens=16).text == plain
