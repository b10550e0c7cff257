"""Members that fail: an error that says so, or an answer without them."""

from __future__ import annotations

import warnings
from dataclasses import asdict

import pytest

from adafuse import (
    AdaFuseWarning,
    ConfigError,
    Dropped,
    Ensemble,
    MemberError,
    MemberLostError,
    MemberMemoryError,
    MemberTimeoutError,
    NonFiniteError,
    TooFewMembersError,
)
from adafuse.testing import ScriptedMember
from adafuse_integrations._shared.trace import read_answer
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM as LlamaIndexLLM
from faulty_members import ALONE, SCRIPT, Faulty, ask, dropping, pair, raises

pytestmark = pytest.mark.usefixtures("no_thread_is_left")
PHASES = ("open", "prefill", "draft", "score", "commit")


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


def test_a_floor_above_all_members_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="min_members is 3, for 2 members"):
        pair()[0].stream("prompt", min_members=3)
