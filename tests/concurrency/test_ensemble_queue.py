"""How many answers of an ensemble run and wait."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from adafuse import (
    AnswerTimeoutError,
    ConfigError,
    DecodingConfig,
    Ensemble,
    MemberError,
    Prompt,
    QueueFullError,
)
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM
from faulty_members import Faulty, raises
from waiting import PATIENCE

SCRIPT = "one two three"


def ensemble(**limits: int | None) -> Ensemble:
    members = [ScriptedMember(SCRIPT, name, confident=False) for name in "ab"]
    return Ensemble(members, **limits)


def test_answers_past_the_queue_are_refused_and_places_come_back() -> None:
    one = ensemble(max_concurrency=1, max_queue=0)
    held = one.stream("x")
    next(held)
    with pytest.raises(QueueFullError, match="1 answers are being decoded and 0 wait"):
        one.generate("x")
    held.close()
    assert one.generate("x").text == SCRIPT
    unread = one.stream("x")  # holds no place
    assert one.generate("x").text == SCRIPT
    unread.close()


def test_whoever_waits_too_long_leaves_the_queue() -> None:
    one = ensemble(max_concurrency=1, max_queue=1)
    with closing(one.stream("x")) as held:
        next(held)
        for _ in range(2):  # the second would find the queue full, were the first still there
            with pytest.raises(AnswerTimeoutError):
                one.generate("x", timeout=0.05)
    assert one.generate("x", timeout=PATIENCE).text == SCRIPT


def test_a_batch_wider_than_the_limit_takes_turns() -> None:
    one = ensemble(max_concurrency=2)
    assert [a.text for a in one.generate_batch(["x"] * 9, max_concurrency=9)] == [SCRIPT] * 9


def test_no_more_run_at_once_than_may() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def answer(prompt: str) -> str:
        return SCRIPT

    one = Ensemble([ScriptedMember(answer)], max_concurrency=3)

    def watch(stream: Generator[object]) -> None:
        nonlocal running, most
        next(stream)
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        list(stream)

    threads = [threading.Thread(target=watch, args=(one.stream("x"),)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert 1 <= most <= 3
    assert one._admission.running == one._admission.waiting == 0


def test_some_members_share_the_limits_of_all() -> None:
    one = ensemble(max_concurrency=1, max_queue=0)
    some = one.only(["b"])
    assert [member.name for member in some.members] == ["b"]
    with closing(one.stream("x")) as held:
        next(held)
        with pytest.raises(QueueFullError):
            some.generate("x")
        with pytest.raises(QueueFullError):
            AdaFuseLLM(ensemble=one, model="b").invoke("x")
    with pytest.raises(ConfigError, match="no member 'c'; there are: a, b"):
        one.only(["c"])
    with pytest.raises(ConfigError):
        one.only([])


@pytest.mark.parametrize("limits", [{"max_concurrency": 0}, {"max_queue": -1}, {"max_queue": 1.5}])
def test_bad_limits_are_refused_before_anything_is_loaded(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        ensemble(**limits)
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Ensemble.load(["no/such-model"], **limits)


def test_an_error_in_a_batch_ends_the_other_rows() -> None:
    """An endless row would else be decoded to its end before the error is told."""

    def answer(prompt: str) -> str:
        return "word " * 100_000 if prompt == "long" else SCRIPT

    members = [ScriptedMember(answer, confident=False, window=900_000)]
    failing = Faulty(members[0], {("draft", 3): raises(OSError("gone"))})
    rows = Ensemble([_OnlyShort(failing, members[0])])  # type: ignore[list-item]
    with pytest.raises(MemberError, match="gone"):
        rows.generate_batch(["long", "short", "long"], max_new_tokens=10**6)


class _OnlyShort:
    """Fails for short prompts alone."""

    name, weight = "mixed", 1.0

    def __init__(self, failing: Faulty, other: ScriptedMember) -> None:
        self._failing, self._other = failing, other

    def open(self, prompt: Prompt, config: DecodingConfig) -> object:
        short = prompt.messages[-1]["content"] == "short"
        return (self._failing if short else self._other).open(prompt, config)
