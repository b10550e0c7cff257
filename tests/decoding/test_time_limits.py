"""Limits of rounds and of answers: members that hang are left behind, and no thread stays."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from adafuse import AnswerTimeoutError, ConfigError, Ensemble, MemberTimeoutError
from adafuse.testing import ScriptedMember
from faulty_members import SCRIPT, Faulty, ask, dropping, pair, sleeps, waits
from waiting import Clock

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.mark.parametrize("phase", ["prefill", "draft", "score", "commit"])
def test_a_member_that_hangs_is_left_behind(phase: str, clock: Clock) -> None:
    healed = threading.Event()
    ensemble, faulty = pair(failures={(phase, 1): waits(healed, 1)}, heals=True)
    answer = dropping(ensemble, round_timeout=0.2)
    assert answer.text.startswith("one two")
    assert "round_timeout" in answer.dropped[0].error
    assert faulty.left_open == 1  # its thread is in there
    healed.set()
    assert ask(ensemble, round_timeout=20).text == SCRIPT


def test_a_member_that_hangs_ends_the_answer_unless_it_may_be_dropped(
    clock: Clock,
) -> None:
    healed = threading.Event()
    ensemble, faulty = pair(failures={("draft", 2): waits(healed, 1)})
    with pytest.raises(MemberTimeoutError) as caught:
        ask(ensemble, round_timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.member, caught.value.committed) == ("first", "one")
    healed.set()
    assert faulty.member.open is not None


def test_the_limit_is_one_of_a_round_and_not_of_each_step(clock: Clock) -> None:
    slow = {("draft", count): sleeps(0.5) for count in (2, 3)}
    assert ask(pair(failures=slow)[0], round_timeout=0.8).text == SCRIPT
    with pytest.raises(MemberTimeoutError):
        ask(pair(failures={**slow, ("score", 1): sleeps(0.5)})[0], round_timeout=0.8)


def test_limits_change_no_answer_and_leave_no_thread() -> None:
    ensemble, _ = pair()
    plain = ask(ensemble)
    bounded = ask(ensemble, round_timeout=60, timeout=60)
    assert [one.text for one in plain.rounds] == [one.text for one in bounded.rounds]
    threads = threading.active_count()
    with closing(ensemble.stream("prompt", round_timeout=60)) as rounds:
        next(rounds)
        assert threading.active_count() == threads + 1


def test_an_answers_limit_holds_while_rounds_are_held_back(clock: Clock) -> None:
    """Their text could begin a stop string; what was committed is told all the same."""
    slow = {("draft", n): sleeps(0.06) for n in range(1, 9)}
    first = Faulty(ScriptedMember("a a a a a a a a", "first", confident=False), slow)
    with pytest.raises(AnswerTimeoutError) as caught:
        ask(Ensemble([first]), timeout=0.1, stop=["a a a a a a a a b"])
    assert caught.value.committed in ("a a", "a a a")
    assert first.left_open == 0
    whole = Faulty(ScriptedMember("a", "first", confident=False), {("draft", 2): sleeps(0.2)})
    assert ask(Ensemble([whole]), timeout=0.1).text == "a"  # it ends the answer


def test_interrupting_the_wait_for_members_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    healed = threading.Event()
    ensemble, faulty = pair(failures={("draft", 2): waits(healed)})
    stream = ensemble.stream("prompt", round_timeout=60)
    next(stream)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adafuse.concurrency.workers.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert faulty.left_open == 1  # in use
    healed.set()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("timeout", 0), ("timeout", -1), ("timeout", "1"), ("timeout", float("nan")),
        ("round_timeout", float("inf")), ("round_timeout", True), ("on_member_error", "ignore"),
        ("min_members", 0), ("min_members", 1.5),
    ],
)  # fmt: skip
def test_bad_limits_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        pair()[0].stream("prompt", **{setting: value})
