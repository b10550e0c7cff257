"""Members that fail: an error that says so, or an answer without them. Nothing hangs or leaks."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any, ClassVar

import pytest
import torch

from adafuse import (
    AdaFuseWarning,
    Answer,
    AnswerTimeoutError,
    ConfigError,
    DecodingError,
    Dropped,
    Ensemble,
    MemberError,
    MemberLostError,
    MemberMemoryError,
    MemberTimeoutError,
    NonFiniteError,
    TooFewMembersError,
)
from adafuse.local.member import LocalMember
from adafuse.memory import prompt_bytes
from adafuse.testing import ScriptedMember
from adafuse_integrations._shared.trace import read_answer
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM as LlamaIndexLLM
from families import family
from faulty_members import Faulty, raises, sleeps, waits

PHASES = ("open", "prefill", "draft", "score", "commit")
SCRIPT = "one two three four"


class OutOfMemoryError(RuntimeError):
    """What torch calls its own, on an accelerator."""


KINDS = [
    (RuntimeError("it broke"), MemberError, "RuntimeError: it broke"),
    (MemoryError(), MemberMemoryError, "MemoryError"),
    (OutOfMemoryError("CUDA out of memory. Tried"), MemberMemoryError, "OutOfMemoryError: CUDA"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemberMemoryError, "allocate"),
    (ConnectionResetError("peer"), MemberLostError, "ConnectionResetError: peer"),
    (TimeoutError(), MemberTimeoutError, "TimeoutError"),
    (KeyError("x\ny"), MemberError, "KeyError: 'x\\ny'"),
]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


def pair(**failures: Any) -> tuple[Ensemble, Faulty]:
    """A member that may fail, and one that does not; they disagree, so that they score."""
    first = Faulty(ScriptedMember(SCRIPT, "first", confident=False, nll=1.0), **failures)
    second = ScriptedMember("one two other words", "second", confident=False, nll=2.0)
    return Ensemble([first, second]), first


def ask(ensemble: Ensemble, **settings: Any) -> Answer:
    return ensemble.generate("prompt", **settings)


def dropping(ensemble: Ensemble, **settings: Any) -> Answer:
    with pytest.warns(AdaFuseWarning, match="was dropped"):
        return ask(ensemble, on_member_error="drop", **settings)


ALONE = ask(Ensemble([ScriptedMember("one two other words", "second", confident=False)])).text


@pytest.mark.parametrize("phase", PHASES)
def test_an_error_names_the_member_the_round_and_what_was_committed(phase: str) -> None:
    late = phase in ("draft", "score", "commit")
    count = {"draft": 3, "score": 1, "commit": 3}.get(phase, 1)
    ensemble, faulty = pair(failures={(phase, count): raises(RuntimeError("it broke"))})
    with pytest.raises(MemberError) as caught:
        ask(ensemble)
    error = caught.value
    assert (error.member, error.phase) == ("first", phase)
    assert error.round_index == (3 if late else 0)
    assert error.committed == ("one two" if late else "")
    assert isinstance(error.__cause__, RuntimeError)
    for part in ("'first'", phase, f"round {error.round_index}", "it broke", error.committed):
        assert part in str(error)
    assert "\n" not in str(error)
    assert faulty.left_open == 0
    assert faulty.sessions == [] or all(one.closed for one in faulty.sessions)
    faulty.failures = {}
    assert ask(ensemble).text == SCRIPT  # the next call is right


@pytest.mark.parametrize(("error", "kind", "said"), KINDS)
def test_errors_have_the_kind_of_what_happened(
    error: Exception, kind: type[MemberError], said: str
) -> None:
    ensemble, _ = pair(failures={("draft", 2): raises(error)})
    with pytest.raises(MemberError) as caught:
        ask(ensemble)
    assert type(caught.value) is kind
    assert said in caught.value.reason
    answer = dropping(pair(failures={("draft", 2): raises(error)})[0])
    assert said in answer.dropped[0].error


@pytest.mark.parametrize("phase", PHASES)
def test_a_member_that_fails_is_dropped_and_the_others_go_on(phase: str) -> None:
    ensemble, faulty = pair(failures={(phase, 1): raises(RuntimeError("it broke"))}, heals=True)
    answer = dropping(ensemble)
    # Where it fails to score or to commit it has drafted before, and its draft may have won.
    assert answer.text.startswith("one two")
    if phase != "commit":
        assert answer.text == ALONE
    first_scored = next(one.index for one in answer.rounds if one.index >= 3)
    expected = {"open": 0, "prefill": 0, "score": first_scored}.get(phase, 1)
    assert answer.dropped == (Dropped("first", expected, phase, "RuntimeError: it broke"),)
    told = [one.index for one in answer.rounds if one.dropped]
    assert told == [max(expected, 1)]
    assert faulty.left_open == 0
    again = ask(ensemble, on_member_error="drop")  # it is healthy now, and back
    assert again.text == SCRIPT
    assert again.dropped == ()


def test_usage_of_a_dropped_member_is_kept_and_weights_are_not_claimed() -> None:
    answer = dropping(pair(failures={("commit", 2): raises(RuntimeError)})[0])
    assert set(answer.usage) == {"first", "second"}
    assert answer.usage["first"].committed_tokens == len("one")
    assert answer.usage["second"].weight is None
    gone = dropping(
        pair(failures={("draft", 1): raises(RuntimeError), ("usage", 1): raises(OSError)})[0]
    )
    assert gone.text == ALONE


def test_a_floor_says_how_many_must_remain() -> None:
    members = [
        Faulty(ScriptedMember("a b c", name, confident=False), {(phase, 2): raises(OSError(name))})
        for name, phase in (("first", "draft"), ("second", "commit"))
    ]
    third = ScriptedMember("a b c", "third", confident=False)
    ensemble = Ensemble([*members, third])
    assert dropping(ensemble).text == "a b c"
    with pytest.raises(TooFewMembersError) as caught:
        ask(ensemble, on_member_error="drop", min_members=2)
    assert caught.value.dropped == {"first": "OSError: first", "second": "OSError: second"}
    assert caught.value.committed == "a"
    assert "min_members is 2" in str(caught.value)
    with pytest.raises(TooFewMembersError):
        ask(Ensemble(members), on_member_error="drop")
    with pytest.raises(ConfigError, match="min_members is 4, for 3 members"):
        ask(ensemble, min_members=4)
    assert all(member.left_open == 0 for member in members)


def test_members_whose_scores_do_not_count_are_not_enough() -> None:
    ensemble, _ = pair(failures={("draft", 2): raises(OSError)})
    with pytest.raises(TooFewMembersError):
        ask(ensemble, on_member_error="drop", weights=(1.0, 0.0))


@pytest.mark.parametrize("phase", ["draft", "score"])
def test_numbers_that_are_not_finite(phase: str) -> None:
    ensemble, faulty = pair(not_finite=(phase,))
    kept = ask(ensemble)  # left out of its rounds, as ever
    assert kept.dropped == ()
    assert any(one.left_out == ("first",) for one in kept.rounds)
    answer = dropping(ensemble)
    assert [one.member for one in answer.dropped] == ["first"]
    assert "not finite" in answer.dropped[0].error
    assert answer.text == ALONE
    both = Ensemble([faulty, Faulty(ScriptedMember("x", "other"), not_finite=("draft", "score"))])
    if phase == "draft":
        with pytest.raises(NonFiniteError):
            ask(both)
        with pytest.raises(TooFewMembersError, match="not finite"):
            ask(both, on_member_error="drop")


@pytest.mark.parametrize("phase", ["prefill", "draft", "score", "commit"])
def test_a_member_that_hangs_is_left_behind(phase: str) -> None:
    healed = threading.Event()
    ensemble, faulty = pair(failures={(phase, 1): waits(healed)}, heals=True)
    answer = dropping(ensemble, round_timeout=0.2)
    assert answer.text.startswith("one two")
    assert "round_timeout" in answer.dropped[0].error
    assert faulty.left_open == 1  # its thread is in there
    healed.set()
    assert ask(ensemble, round_timeout=20).text == SCRIPT


def test_a_member_that_hangs_ends_the_answer_unless_it_may_be_dropped() -> None:
    healed = threading.Event()
    ensemble, faulty = pair(failures={("draft", 2): waits(healed)})
    with pytest.raises(MemberTimeoutError) as caught:
        ask(ensemble, round_timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.member, caught.value.committed) == ("first", "one")
    healed.set()
    assert faulty.member.open is not None


def test_the_limit_is_one_of_a_round_and_not_of_each_step() -> None:
    healed = threading.Event()
    slow = {("draft", 3): waits(healed)}
    ensemble, _ = pair(failures=slow)
    timer = threading.Timer(0.3, healed.set)
    timer.start()
    assert ask(ensemble, round_timeout=20).text == SCRIPT
    timer.join()


def test_limits_change_no_answer_and_leave_no_thread() -> None:
    ensemble, _ = pair()
    plain = ask(ensemble)
    bounded = ask(ensemble, round_timeout=60, timeout=60)
    assert [one.text for one in plain.rounds] == [one.text for one in bounded.rounds]
    threads = threading.active_count()
    with closing(ensemble.stream("prompt", round_timeout=60)) as rounds:
        next(rounds)
        assert threading.active_count() == threads + 1


def test_a_session_that_cannot_be_closed_spoils_no_answer() -> None:
    ensemble, _ = pair(failures={("close", 1): raises(RuntimeError)})
    assert ask(ensemble).text == SCRIPT


def test_a_leader_that_fails_leaves_the_others() -> None:
    ensemble, _ = pair(failures={("draft", 1): raises(RuntimeError)})
    assert dropping(ensemble, leader="first").text == ALONE


def test_interrupts_are_no_failures() -> None:
    ensemble, faulty = pair(failures={("draft", 2): raises(KeyboardInterrupt)})
    with pytest.raises(KeyboardInterrupt):
        ask(ensemble, on_member_error="drop")
    assert faulty.left_open == 0


def test_errors_hold_no_session() -> None:
    """A failed forward's frames hold what it computed; whoever keeps an answer should not."""
    error = RuntimeError("it broke")
    ensemble, faulty = pair(failures={("draft", 2): raises(error)})
    assert dropping(ensemble).dropped
    assert error.__traceback__ is None
    session = weakref.ref(faulty.sessions.pop())
    gc.collect()
    assert session() is None


def test_nothing_drafted_for_ever_is_an_error() -> None:
    from adafuse.decoding.member import Draft, Drafts

    member = ScriptedMember("x", "idle")

    class Idle(Faulty):
        def open(self, prompt: Any, config: Any) -> Any:
            session: Any = super().open(prompt, config)
            session.draft = lambda **_: Drafts((Draft((), False),), (), confident=True)
            return session

    with pytest.raises(DecodingError, match="rounds added nothing"):
        ask(Ensemble([Idle(member)]))


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


def test_warnings_are_given_once_for_each_member_dropped() -> None:
    ensemble, _ = pair(failures={("draft", 2): raises(RuntimeError)})
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        ask(ensemble, on_member_error="drop")
    assert [str(one.message) for one in given if one.category is AdaFuseWarning] == [
        "member 'first' failed in round 2 (draft) and was dropped: RuntimeError; the answer goes "
        "on with second"
    ]


def test_wrappers_and_pages_name_who_was_dropped() -> None:
    ensemble, _ = pair(failures={("draft", 2): raises(RuntimeError("<b>broke</b>"))})
    found = Dropped("first", 2, "draft", "RuntimeError: <b>broke</b>")
    with pytest.warns(AdaFuseWarning):
        message = ChatAdaFuse(ensemble=ensemble, on_member_error="drop").invoke("prompt")
    assert message.response_metadata["fusion"]["dropped"] == [asdict(found)]
    assert read_answer(message.response_metadata).dropped == (found,)
    with pytest.warns(AdaFuseWarning):
        completion = LlamaIndexLLM(ensemble=ensemble, on_member_error="drop").complete("prompt")
    assert read_answer(completion.additional_kwargs).dropped == (found,)
    with pytest.warns(AdaFuseWarning):
        written = AdaFuseLLM(ensemble=ensemble, on_member_error="drop").generate(["prompt"])
    assert written.generations[0][0].generation_info["dropped"] == [asdict(found)]
    page = dropping(ensemble)._repr_html_()
    assert "left out from here on" in page
    assert "<b>broke" not in page
    quiet = ChatAdaFuse(ensemble=Ensemble([ScriptedMember("a")])).invoke("prompt")
    assert "dropped" not in quiet.response_metadata["fusion"]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_member_that_cannot_say_what_it_has_committed_is_dropped(call: int) -> None:
    ensemble, faulty = pair(failures={("usage", call): raises(ConnectionError("gone"))})
    answer = dropping(ensemble)
    assert answer.text.startswith("one two")
    assert [one.member for one in answer.dropped] == ["first"]
    assert faulty.left_open == 0
    with pytest.raises(MemberLostError):
        ask(ensemble)


def test_an_answer_that_is_whole_needs_no_usage() -> None:
    counts = Faulty(ScriptedMember("one", "first"))
    ask(Ensemble([counts]))
    last = counts.sessions[0]._calls["usage"]
    faulty = Faulty(ScriptedMember("one", "first"), {("usage", last): raises(OSError)})
    answer = ask(Ensemble([faulty]))
    assert (answer.text, answer.usage, answer.dropped) == ("one", {}, ())


def test_the_next_member_may_have_used_up_the_budget_already() -> None:
    """It counts more tokens for the same text, and then nothing more may be committed."""
    script = "one two three four five six seven"

    class Twice(Faulty):
        def open(self, prompt: Any, config: Any) -> Any:
            session: Any = super().open(prompt, config)
            inner = session._session
            kind = type(inner)

            class Session(kind):  # type: ignore[misc, valid-type]
                @property
                def usage(self) -> Any:
                    return replace(super().usage, committed_tokens=2 * len(self._text))

                def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
                    return text[: max(limit, 0) // 2], 2 * len(text) > limit

            inner.__class__ = Session
            return session

    first = Faulty(
        ScriptedMember(script, "first", confident=False), {("draft", 5): raises(RuntimeError)}
    )
    second = Twice(ScriptedMember(script, "second", confident=False))
    answer = dropping(Ensemble([first, second]), max_new_tokens=25)
    assert (answer.text, answer.finish_reason) == ("one two three four", "length")


def test_a_session_that_cannot_say_where_it_is_is_asked_all_the_same() -> None:
    ensemble = Ensemble(
        [
            Faulty(LocalMember(*family("llama", 0), "llama"), {("place", 1): raises(OSError)}),
            ScriptedMember("a b", "other"),
        ]
    )
    assert ask(ensemble, max_new_tokens=8).rounds


def test_closing_that_fails_hides_no_error() -> None:
    first = Faulty(ScriptedMember(SCRIPT, "first"), {("close", 1): raises(RuntimeError("close"))})
    second = Faulty(ScriptedMember(SCRIPT, "second"), {("open", 1): raises(OSError("no"))})
    with pytest.raises(MemberError, match="OSError: no"):
        ask(Ensemble([first, second]))


def test_a_floor_above_all_members_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="min_members is 3, for 2 members"):
        pair()[0].stream("prompt", min_members=3)


def test_an_answers_limit_holds_while_rounds_are_held_back() -> None:
    """Their text could begin a stop string; what was committed is told all the same."""
    slow = {("draft", n): sleeps(0.06) for n in range(1, 9)}
    first = Faulty(ScriptedMember("a a a a a a a a", "first", confident=False), slow)
    with pytest.raises(AnswerTimeoutError) as caught:
        ask(Ensemble([first]), timeout=0.1, stop=["a a a a a a a a b"])
    assert caught.value.committed in ("a a", "a a a")
    assert first.left_open == 0
    whole = Faulty(ScriptedMember("a", "first", confident=False), {("draft", 2): sleeps(0.2)})
    assert ask(Ensemble([whole]), timeout=0.1).text == "a"  # it ends the answer


def test_what_was_committed_counts_where_a_member_fails_behind_it() -> None:
    ensemble, faulty = pair()
    ask(ensemble)
    calls = faulty.sessions[0]._calls["usage"]
    faulty.failures = {("usage", calls - 1): raises(OSError("gone"))}
    with pytest.raises(MemberError) as caught:
        ask(ensemble)
    assert caught.value.committed == SCRIPT


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


def test_configurations_that_do_not_say_refuse_no_prompt() -> None:
    class Odd:
        hidden_size, num_hidden_layers, num_attention_heads = 64, 4, 8
        intermediate_size: ClassVar = [128, 256]
        multi_query = True

        @property
        def head_dim(self) -> int:
            raise RuntimeError("it differs by layer")

    assert 0 < prompt_bytes(Odd(), torch.float32, 10, False) < 100_000  # type: ignore[arg-type]
