"""Memory is asked for before weights and prompts are read, and given back where it runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse import AdaFuseWarning, Ensemble, LoadMemoryError, MemberMemoryError, PromptMemoryError
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.memory import _container_share, free_bytes, prompt_bytes, ran_out, weight_bytes
from families import FAMILIES, family

MIB = 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    model, tokenizer = family("llama", 0)
    place = tmp_path_factory.mktemp("llama")
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def local(name: str = "llama", **settings: Any) -> LocalMember:
    return LocalMember(*family(name, 0), name, **settings)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_the_size_of_weights_is_told_from_the_configuration(name: str) -> None:
    model, _ = family(name, 0)
    held = {id(one): one.nbytes for one in (*model.parameters(), *model.buffers())}
    assert weight_bytes(model.config, torch.float32) == pytest.approx(sum(held.values()), rel=0.01)
    half = weight_bytes(model.config, torch.bfloat16)
    assert half == pytest.approx(sum(held.values()) / 2, rel=0.05)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_prompt_takes_at_least_its_keys_and_values(name: str) -> None:
    member = local(name, prompt_cache_mb=64)
    member.runner.prompts.clear()
    prompt = "Hello world, this is one. " * 8
    Ensemble([member]).generate(prompt, max_new_tokens=1)
    held = member.runner.prompts.nbytes
    tokens = member.count_tokens(prompt)
    estimate = member.runner.prompt_bytes(tokens)
    assert 0 < estimate < 40 * held
    assert member.runner.prompt_bytes(2 * tokens) > estimate
    config = member.runner.model.config.get_text_config(decoder=True)
    assert prompt_bytes(config, torch.float32, 100, True) > prompt_bytes(
        config, torch.float32, 100, False
    )


def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr("adafuse.loading.loader.free_bytes", lambda device: 1000)
    monkeypatch.setattr("adafuse.loading.loader.load_model", lambda *plan: read.append(plan))
    with pytest.raises(LoadMemoryError) as caught:
        Ensemble.load([{"model": folder, "name": "small"}, {"model": folder, "name": "other"}])
    assert isinstance(caught.value, MemoryError)
    assert "'small'" in str(caught.value)
    assert "'other'" not in str(caught.value)  # it shares the weights
    assert "check_memory=False" in str(caught.value)
    assert read == []


def test_the_check_can_be_left_out_and_says_nothing_where_nobody_knows(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adafuse.loading.loader.free_bytes", lambda device: 1000)
    monkeypatch.setattr("adafuse.local.member.free_bytes", lambda device: 1000)
    unchecked = Ensemble.load([{"model": folder, "check_memory": False}])
    assert unchecked.generate("Hello", max_new_tokens=2).rounds
    monkeypatch.setattr("adafuse.loading.loader.free_bytes", lambda device: None)
    assert len(load_members(list(map(_spec, [folder])))) == 1


def _spec(folder: str) -> Any:
    from adafuse import MemberSpec

    return MemberSpec(folder)


def test_a_prompt_that_does_not_fit_is_refused_before_any_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = local(prompt_cache_mb=64)
    ensemble = Ensemble([member])
    ensemble.generate("Hello world, this is", max_new_tokens=4)
    assert member.runner.prompts.nbytes > 0
    monkeypatch.setattr("adafuse.local.member.free_bytes", lambda device: 10)
    with pytest.raises(PromptMemoryError) as caught:
        ensemble.generate("Hello world, this is", max_new_tokens=4)
    assert caught.value.member == "llama"
    assert caught.value.needed > caught.value.free == 10
    assert member.runner.prompts.nbytes == 0  # that was let go of first
    with pytest.raises(PromptMemoryError):  # the prompt is at fault, so nobody is dropped
        ensemble.generate("Hello", on_member_error="drop")
    monkeypatch.undo()
    assert ensemble.generate("Hello", max_new_tokens=2).rounds


def test_kept_prompts_make_room_for_a_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    member = local(prompt_cache_mb=64)
    ensemble = Ensemble([member])
    plain = ensemble.generate("Hello world, this is", max_new_tokens=8)
    run, refused = member.runner._run, 0

    def narrow(*args: Any) -> torch.Tensor:
        nonlocal refused
        if member.runner.prompts.nbytes:
            refused += 1
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return run(*args)

    monkeypatch.setattr(member.runner, "_run", narrow)
    again = ensemble.generate("Hello world, this is", max_new_tokens=8)
    assert (again.text, refused) == (plain.text, 1)


def test_memory_that_stays_short_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    short, other = local("llama"), local("gpt2")
    ensemble = Ensemble([short, other])
    run, calls = short.runner._run, 0

    def narrow(*args: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return run(*args)

    monkeypatch.setattr(short.runner, "_run", narrow)
    with pytest.raises(MemberMemoryError, match="OutOfMemoryError") as caught:
        ensemble.generate("Hello", max_new_tokens=24)
    assert caught.value.member == "llama"
    calls = 0
    with pytest.warns(AdaFuseWarning, match="dropped"):
        answer = ensemble.generate("Hello", max_new_tokens=24, on_member_error="drop")
    assert [one.member for one in answer.dropped] == ["llama"]
    monkeypatch.undo()
    assert ensemble.generate("Hello", max_new_tokens=24).dropped == ()


def test_what_a_machine_and_a_container_have_left(tmp_path: Path) -> None:
    free = free_bytes(torch.device("cpu"))
    assert free is not None
    assert free > MIB
    assert free_bytes(torch.device("meta")) is None
    assert _container_share(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert _container_share(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert _container_share(tmp_path) is None


def test_only_memory_is_memory() -> None:
    assert ran_out(MemoryError())
    assert ran_out(torch.OutOfMemoryError("x"))
    assert not ran_out(RuntimeError("shapes do not match"))
    assert not ran_out(ValueError("out of memory"))
