"""Sessions that fail at odd moments: while they count, close, or say where they are."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from adafuse import DecodingError, Ensemble, MemberError, MemberLostError
from adafuse.local.member import LocalMember
from adafuse.memory import prompt_bytes
from adafuse.testing import ScriptedMember
from families import family
from faulty_members import SCRIPT, Faulty, ask, dropping, pair, raises

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_a_session_that_cannot_be_closed_spoils_no_answer() -> None:
    ensemble, _ = pair(failures={("close", 1): raises(RuntimeError)})
    assert ask(ensemble).text == SCRIPT


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


def test_what_was_committed_counts_where_a_member_fails_behind_it() -> None:
    ensemble, faulty = pair()
    ask(ensemble)
    calls = faulty.sessions[0]._calls["usage"]
    faulty.failures = {("usage", calls - 1): raises(OSError("gone"))}
    with pytest.raises(MemberError) as caught:
        ask(ensemble)
    assert caught.value.committed == SCRIPT


def test_configurations_that_do_not_say_refuse_no_prompt() -> None:
    class Odd:
        hidden_size, num_hidden_layers, num_attention_heads = 64, 4, 8
        intermediate_size: ClassVar = [128, 256]
        multi_query = True

        @property
        def head_dim(self) -> int:
            raise RuntimeError("it differs by layer")

    assert 0 < prompt_bytes(Odd(), torch.float32, 10, False) < 100_000  # type: ignore[arg-type]
