"""Members that fail while they are served: an error with a code, or an answer without them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.testing import ScriptedMember
from faulty_members import Faulty, raises
from serve_setup import chat, poll, serving

TEXT = "one two three four"


def pair(error: BaseException, at: int = 2, **settings: Any) -> tuple[Ensemble, Faulty]:
    member = ScriptedMember(TEXT, name="bad", confident=False)
    bad = Faulty(member, {("draft", at): raises(error)}, heals=True)
    good = ScriptedMember(TEXT, name="good", confident=False)
    return Ensemble([good, bad], DecodingConfig(**settings)), bad


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConnectionResetError("gone"), 503, "member_lost"),
        (MemoryError("full"), 503, "member_out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to"), 503, "member_out_of_memory"),
        (TimeoutError("late"), 503, "member_timeout"),
        (ValueError("odd"), 500, "member_failed"),
    ],
)
def test_a_member_that_fails_has_a_code(error: BaseException, status: int, code: str) -> None:
    ensemble, bad = pair(error, at=1)
    with serving(ensemble) as running:
        answer = running.post(chat("x"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert "'bad'" in answer.json()["error"]["message"]
        assert ("retry-after" in answer.headers) == (status == 503)
        poll(running.idle)
        assert bad.left_open == 0
        after = running.post(chat("x")).json()
        assert after["choices"][0]["message"]["content"] == TEXT
        assert 'adafuse_member_failures_total{member="bad",phase="draft"} 1.0' in running.metrics()


def test_in_the_middle_of_a_stream_it_is_an_event() -> None:
    ensemble, _ = pair(ConnectionError("gone"), at=3)
    with serving(ensemble) as running:
        stream = running.openai().chat.completions.create(**chat("x"), stream=True)
        said: list[str] = []
        with pytest.raises(openai.APIError) as caught:
            said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
        assert "".join(said) == "one two"
        assert caught.value.code == "member_lost"
        wire = running.post(chat("x", stream=True)).text  # it is well again
        assert wire.endswith("data: [DONE]\n\n")
        assert 'outcome="member_lost"} 1.0' in running.metrics()


@pytest.mark.filterwarnings("ignore::adafuse.AdaFuseWarning")
@pytest.mark.parametrize("stream", [False, True])
def test_a_member_that_is_dropped_is_named(stream: bool) -> None:
    ensemble, _ = pair(MemoryError("full"))
    with serving(ensemble) as running:
        create = running.openai().chat.completions.create
        asked = chat("x")
        own = {"on_member_error": "drop", "min_members": 1, "adafuse_details": True}
        answer: Any = create(**asked, stream=stream, extra_body=own)
        last = list(answer)[-1] if stream else answer
        (lost,) = last.model_extra["adafuse"]["dropped"]
        assert (lost["member"], lost["round_index"], lost["phase"]) == ("bad", 2, "draft")
        assert 'adafuse_member_failures_total{member="bad",phase="draft"} 1.0' in running.metrics()


def test_too_few_members_are_left() -> None:
    ensemble, _ = pair(MemoryError("full"), on_member_error="drop", min_members=2)
    with serving(ensemble) as running:
        answer = running.post(chat("x"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_few_members")


def test_the_first_member_is_dropped() -> None:
    ensemble, _ = pair(MemoryError("full"))
    turned = Ensemble(ensemble.members[::-1], DecodingConfig(on_member_error="drop"))
    with serving(turned) as running:
        done = running.post(chat("x")).json()
        assert done["choices"][0]["message"]["content"] == TEXT
        assert done["usage"]["completion_tokens"] > 0
