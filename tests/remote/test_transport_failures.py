"""Faults between a member and its host: each call lost, unheard or late, and hosts that die."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from adafuse import Answer, Ensemble
from adafuse.errors import MemberLostError, MemberMemoryError, MemberTimeoutError
from adafuse.local.member import LocalMember
from constrained_cases import PERSON
from families import family
from remote_members import CHAT, Fault, Line, behind_wires, locals_
from speculation_cases import same
from waiting import until

METHODS = ("open", "prefill", "draft", "score", "commit")
ASKED: dict[str, Any] = {"max_new_tokens": 8}
NAMES = ("llama", "gpt2")


def once(kind: str | float, at: int) -> Fault:
    """A fault of one call of a line."""
    return lambda method, count: kind if count == at else None


def of(kind: str | float, method: str, which: int = 0) -> Fault:
    """A fault of one call of a method."""
    seen: list[str] = []

    def fault(asked: str, at: int) -> str | float | None:
        if asked != method:
            return None
        seen.append(asked)
        return kind if len(seen) == which + 1 else None

    return fault


def first_line_fails(fault: Fault, replicas: int, **asked: Any) -> tuple[Answer, list[list[Line]]]:
    """An answer whose first member's first line has a fault once the ensemble is there."""
    there, lines = behind_wires(locals_(*NAMES), replicas)
    lines[0][0].fault = fault
    return there.generate(CHAT, **{**ASKED, **asked}), lines


def nothing_left(lines: list[list[Line]]) -> bool:
    return all(line.host is None or not line.host.sessions for own in lines for line in own)


@pytest.fixture(scope="module")
def alone() -> Answer:
    return Ensemble(locals_(*NAMES)).generate(CHAT, **ASKED)


@pytest.fixture(scope="module")
def calls() -> list[str]:
    """The calls of the first member for that answer."""
    there, lines = behind_wires(locals_(*NAMES))
    there.generate(CHAT, **ASKED)
    assert set(METHODS) <= set(lines[0][0].calls)
    return lines[0][0].calls


@pytest.mark.parametrize("kind", ["lost", "unheard"])
def test_a_call_that_gets_no_reply_is_made_again_and_done_once(
    kind: str, alone: Answer, calls: list[str]
) -> None:
    for at in range(1, len(calls)):  # any but the opening, with one replica
        answer, lines = first_line_fails(once(kind, at), 1)
        assert same(alone, answer) == len(alone.rounds), (at, calls[at])
        used, wanted = answer.usage["llama-0"], alone.usage["llama-0"]
        assert used.token_ids == wanted.token_ids
        assert len(lines[0][0].calls) == len(calls) + 1
        assert nothing_left(lines)


@pytest.mark.parametrize("kind", ["lost", "unheard", "dies"])
def test_a_replica_takes_over_at_every_call(kind: str, alone: Answer, calls: list[str]) -> None:
    for at in range(len(calls)):
        answer, lines = first_line_fails(once(kind, at), 2)
        assert same(alone, answer) == len(alone.rounds), (at, calls[at])
        assert answer.usage["llama-0"].token_ids == alone.usage["llama-0"].token_ids
        assert answer.usage["llama-0"].committed_tokens == alone.usage["llama-0"].committed_tokens
        assert answer.usage["llama-0"].losses == alone.usage["llama-0"].losses
        moved = kind == "dies" or calls[at] == "open"
        assert ("open" in lines[0][1].calls) == moved
        assert nothing_left(lines)


@pytest.mark.parametrize("speculation", [True, False])
@pytest.mark.parametrize(
    "asked",
    [
        {"json_schema": PERSON, "max_new_tokens": 40},
        {"prompt_exponent": 2.0, "branches": 1},
        {"repetition_penalty": 1.3, "temperature": 2.0, "seed": 1},
        {"rule": "paper", "margin_threshold": 0.2},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_an_answer_must_be_survives_a_dead_host(
    asked: dict[str, Any], speculation: bool
) -> None:
    asked = {**ASKED, **asked, "speculation": speculation}
    alone = Ensemble(locals_(*NAMES)).generate(CHAT, **asked)
    for at in (2, 5, 9, 12):
        answer, _ = first_line_fails(once("dies", at), 2, **asked)
        assert same(alone, answer)
        assert answer.usage["llama-0"].token_ids == alone.usage["llama-0"].token_ids


def test_drafted_ids_are_restored_where_the_text_would_be_encoded_otherwise() -> None:
    """Random models write tokens that no tokenizer would choose for their text."""
    member = LocalMember(*family("gpt2", 1), "gpt2")
    alone = Ensemble([member]).generate("Hello", max_new_tokens=40)
    ids = alone.usage["gpt2"].token_ids
    assert list(ids) != member.codec.encode(alone.text)
    there, lines = behind_wires([LocalMember(*family("gpt2", 1), "gpt2")], 2)
    lines[0][0].fault = of("dies", "draft", len(alone.rounds) - 1)
    answer = there.generate("Hello", max_new_tokens=40)
    assert (answer.text, answer.usage["gpt2"].token_ids) == (alone.text, ids)
    assert "restore" in lines[0][1].calls


def test_a_session_moves_on_each_time_its_host_dies(alone: Answer) -> None:
    there, lines = behind_wires(locals_(*NAMES), 4)
    for at, line in enumerate(lines[0][:3]):
        line.fault = of("dies", "commit" if at % 2 else "score")
    answer = there.generate(CHAT, **ASKED)
    assert same(alone, answer) == len(alone.rounds)
    assert [line.host is None for line in lines[0]] == [True, True, True, False]
    used, wanted = answer.usage["llama-0"], alone.usage["llama-0"]
    assert used.forward_passes > wanted.forward_passes  # what was spent elsewhere is counted
    assert used.prompt_tokens == wanted.prompt_tokens


def test_a_host_that_was_started_again_is_gone_on_with(alone: Answer) -> None:
    there, lines = behind_wires(locals_(*NAMES))
    first = lines[0][0]
    _, others = behind_wires(locals_(*NAMES))

    def restart(method: str, at: int) -> None:
        if at == 5:
            first.host = others[0][0].host  # it knows nothing of the session

    first.fault = restart
    answer = there.generate(CHAT, **ASKED)
    assert same(alone, answer) == len(alone.rounds)
    assert "restore" in first.calls


@pytest.mark.parametrize("method", METHODS)
def test_one_host_that_dies_is_a_lost_member(method: str, alone: Answer) -> None:
    there, lines = behind_wires(locals_(*NAMES))
    host = lines[0][0].host
    lines[0][0].fault = of("dies", method)
    with pytest.raises(MemberLostError, match="'llama-0'") as lost:
        there.generate(CHAT, **ASKED)
    assert lost.value.phase == method
    assert isinstance(lost.value.__cause__, ConnectionError)
    assert nothing_left(lines)
    lines[0][0].host = host  # it is back
    assert same(alone, there.generate(CHAT, **ASKED)) == len(alone.rounds)


@pytest.mark.parametrize("method", METHODS)
def test_one_host_that_dies_is_done_without(method: str) -> None:
    second = Ensemble(locals_(*NAMES)[1:])
    answer, lines = first_line_fails(of("dies", method), 1, on_member_error="drop")
    assert [(one.member, one.phase) for one in answer.dropped] == [("llama-0", method)]
    assert "ConnectionError" in answer.dropped[0].error
    if method == "open":
        assert answer.text == second.generate(CHAT, **ASKED).text
    assert nothing_left(lines)


@pytest.mark.parametrize("method", METHODS)
def test_a_pause_longer_than_a_round_may_take_is_a_timeout(method: str) -> None:
    there, lines = behind_wires(locals_(*NAMES))
    there.generate(CHAT, **ASKED)  # what is slow only at first
    lines[0][0].fault = of(1000, method)
    with pytest.raises(MemberTimeoutError, match="'llama-0'") as late:
        there.generate(CHAT, **ASKED, round_timeout=3)
    assert late.value.phase == method
    assert there.generate(CHAT, **ASKED, round_timeout=60).text
    until(lambda: nothing_left(lines))  # it is closed once its thread is back


def test_a_host_that_runs_out_of_memory_is_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    members = locals_(*NAMES)
    there, lines = behind_wires(members, 2)

    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(members[0].runner, "forward", full)
    with pytest.raises(MemberMemoryError, match=r"'llama-0'.*Tried to allocate 2 GiB"):
        there.generate(CHAT, **ASKED)
    assert "open" not in lines[0][1].calls  # another replica would have no more
    assert nothing_left(lines)


def test_a_dead_replica_is_asked_last_and_again_once_it_has_rested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, lines = behind_wires(locals_("gpt2"), 2)
    dead, living = lines[0]
    host, dead.host = dead.host, None
    for _ in range(4):
        there.generate("Hello", max_new_tokens=2)
    assert dead.calls.count("open") == 1
    assert living.calls.count("open") == 4
    dead.host = host
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    there.generate("Hello", max_new_tokens=2)
    assert dead.calls.count("open") == 2
    monkeypatch.undo()
    there.generate("Hello", max_new_tokens=2)
    assert dead.calls.count("open") == 3


def test_no_call_is_lost_where_one_of_two_replicas_dies_under_load() -> None:
    prompts = [f"{number} bottles of" for number in range(24)]
    here = Ensemble(locals_("qwen2", "gpt2"))
    there, lines = behind_wires(locals_("qwen2", "gpt2"), 2)
    for own, after in zip(lines, (40, 90), strict=True):
        own[0].fault = lambda method, at, after=after: "dies" if at == after else None  # type: ignore[misc]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: there.generate(p, max_new_tokens=8), prompts))
    assert [own[0].host for own in lines] == [None, None]
    for prompt, answer in zip(prompts, found, strict=True):
        assert same(here.generate(prompt, max_new_tokens=8), answer)
    assert nothing_left(lines)


def test_counting_goes_to_the_replica_that_is_left() -> None:
    there, lines = behind_wires(locals_("gpt2"), 2)
    remote: Any = there.members[0]
    wanted = remote.count_tokens("Hello world")
    lines[0][0].host = None
    assert remote.count_tokens("Hello world") == wanted
    lines[0][1].host = None
    with pytest.raises(ConnectionError, match="none of its 2 replicas"):
        remote.count_tokens("Hello world")


def test_a_stream_that_is_closed_early_leaves_nothing_there() -> None:
    there, lines = behind_wires(locals_(*NAMES))
    stream = there.stream(CHAT, max_new_tokens=40)
    next(stream)
    assert not nothing_left(lines)
    stream.close()
    assert nothing_left(lines)
    assert not [one for one in threading.enumerate() if one.name == "adafuse"]
