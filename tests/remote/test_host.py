"""The host of a member: calls that come twice, sessions that nobody wants, errors in plain form."""

import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from adafuse import DecodingConfig, PromptError
from adafuse import errors as all_errors
from adafuse.config import CONSTRAINTS
from adafuse.constraints.constraint import Constraint
from adafuse.errors import AdaFuseError, ContextWindowError, PromptMemoryError
from adafuse.prompting.prompt import Prompt, read_prompt
from adafuse.remote import wire
from adafuse.remote.host import Host
from adafuse.testing import ScriptedMember, ScriptedSession
from waiting import Clock, until
from watched_members import WatchedMember


def asked(**changes: Any) -> dict[str, Any]:
    prompt, config = read_prompt("Hello"), DecodingConfig(**changes)
    return {"prompt": wire.write_prompt(prompt), "config": wire.write_config(config)}


def talk(host: Host, name: str = "one") -> Callable[..., Any]:
    """Calls of one session, numbered unless a number is given."""
    numbers = iter(range(1, 1000))

    def call(method: str, number: int | None = None, **arguments: Any) -> Any:
        number = next(numbers) if number is None else number
        return host.call(method, {"session": name, "number": number, **arguments})

    return call


def test_a_call_that_comes_twice_is_done_once() -> None:
    host = Host(ScriptedMember("One two three."))
    call = talk(host)
    first = [call("open", **asked()), call("prefill", rate=False)]
    committed = call("commit", 3, text="One", ends=False)
    assert call("commit", 3, text="One", ends=False) == committed
    assert committed["state"]["usage"]["committed_tokens"] == 3
    assert "call 1 came after call 3" in call("open", 1, **asked())["error"]["message"]
    assert "value" in first[0]
    assert host.sessions == 1
    host.close()
    assert host.sessions == 0


def test_an_opening_that_comes_twice_opens_once() -> None:
    member = WatchedMember("One two three.")
    host, call = Host(member), None
    for _ in range(2):
        call = talk(host)
        assert call("open", **asked())["value"]["templated"] is False
    assert len(member.watch.sessions) == 1


def test_what_was_closed_is_unknown_and_stays_so() -> None:
    member = WatchedMember("One two three.")
    host = Host(member)
    call = talk(host)
    call("open", **asked())
    for _ in range(2):
        assert host.call("close", {"session": "one"}) == {"value": None}
    assert member.watch.open == 0
    assert call("draft", strip_blank=False, hints=[]) == {"unknown": True}
    assert call("open", 9, **asked()) == {"unknown": True}  # one that was late on the way
    assert host.call("close", {"session": "never"}) == {"value": None}
    assert talk(host, "never")("open", **asked()) == {"unknown": True}


def test_a_session_that_works_is_closed_when_it_is_done() -> None:
    member = WatchedMember("One two three.", holds=0)
    host = Host(member)
    call = talk(host)
    call("open", **asked())
    thread = threading.Thread(
        target=call, args=("draft",), kwargs={"strip_blank": False, "hints": []}
    )
    thread.start()
    until(member.watch.held.is_set)
    host.call("close", {"session": "one"})  # does not wait for the draft
    assert host.sessions == 1
    member.watch.go_on.set()
    thread.join()
    assert (host.sessions, member.watch.open, member.watch.drafts) == (0, 0, 1)


def test_a_session_that_nobody_uses_is_closed_after_its_lease(clock: Clock) -> None:
    member = WatchedMember("One two three.")
    host = Host(member, lease=0.4)
    gone, used = talk(host, "gone"), talk(host, "used")
    gone("open", **asked())
    used("open", **asked())
    for _ in range(2):
        clock.sleep(0.3)
        assert "value" in used("count", text="One", ends=False)
    until(lambda: host.sessions == 1)
    assert "value" in used("count", text="One", ends=False)
    assert gone("count", text="One", ends=False) == {"unknown": True}


def test_a_host_that_nobody_has_ends_its_thread() -> None:
    before = threading.active_count()
    host = Host(ScriptedMember("One."), lease=0.1)
    assert threading.active_count() == before + 1
    del host
    until(lambda: threading.active_count() <= before)


class Broken(ScriptedMember):
    """Its sessions raise what they are given."""

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = super().open(prompt, config)

        def fail(**arguments: Any) -> Any:
            raise ERRORS.pop()

        session.draft = fail  # type: ignore[method-assign]
        return session


ERRORS: list[Exception] = []


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (ContextWindowError("m", 10, 20), ContextWindowError, "20 tokens for member 'm'"),
        (PromptMemoryError("m", 10, 2**30, 2**20), PromptMemoryError, "1,024 MiB"),
        (MemoryError("no room"), MemoryError, "no room"),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError, "CUDA out of memory"),
        (KeyError("x"), RuntimeError, "KeyError: 'x'"),
        (ConnectionError("a database"), RuntimeError, "ConnectionError: a database"),
        (RuntimeError(), RuntimeError, "RuntimeError"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_errors_come_out_as_what_they_were(
    raised: Exception, kind: type[Exception], said: str
) -> None:
    call = talk(Host(Broken("One.")))
    call("open", **asked())
    ERRORS.append(raised)
    reply = json.loads(json.dumps(call("draft", strip_blank=False, hints=[])))
    found = wire.read_error(reply["error"])
    assert type(found) is kind
    assert said in str(found)
    if isinstance(raised, AdaFuseError):
        assert vars(found) == vars(raised)
    assert "value" in call("count", text="One", ends=False)  # the session goes on


def test_no_class_is_looked_up_but_the_projects_errors() -> None:
    for kind in ("SystemExit", "os", "AdaFuseError.__init__", "__all__", "annotations"):
        found = wire.read_error({"kind": kind, "message": "x", "held": {}})
        assert type(found) is RuntimeError
    for kind in all_errors.__all__:
        if kind != "AdaFuseWarning":
            found = wire.read_error({"kind": kind, "message": "said", "held": {}})
            assert type(found).__name__ == kind
            assert str(found) == "said"
            assert str(pickle.loads(pickle.dumps(found))) == "said"


def test_calls_that_make_no_sense_are_errors() -> None:
    host = Host(ScriptedMember("One."))
    call = talk(host)
    call("open", **asked())
    for reply in (call("__init__"), call("draft", nonsense=1), host.call("describe", {"x": 1})):
        assert isinstance(wire.read_error(reply["error"]), RuntimeError)
    later = host.call("open", {"session": "two", "number": 1, **asked(), "more": 1})
    assert "error" in later
    assert host.sessions == 1


def test_prompts_and_settings_survive_the_way() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    prompt = read_prompt([{"role": "user", "content": "é 😀 \x00 \u2028"}], tools=[tool])
    constraint = Constraint("JSON answer", "start: /a/", "<t>", False, True)
    prompt = Prompt(prompt.messages, None, "chat", prompt.tools, constraint)
    assert wire.read_prompt(json.loads(json.dumps(wire.write_prompt(prompt)))) == prompt
    config = DecodingConfig(
        stop=("\n", "é"), weights=(1, 2.5), top_p=0.5, seed=2**70, json_schema={"type": "object"}
    )
    found = wire.read_config(json.loads(json.dumps(wire.write_config(config))))
    assert found == DecodingConfig(stop=("\n", "é"), weights=(1, 2.5), top_p=0.5, seed=2**70)
    assert not set(CONSTRAINTS) & set(wire.write_config(config))


def test_what_is_no_plain_value_is_refused_before_it_is_sent() -> None:
    prompt = read_prompt([{"role": "user", "content": "x", "made": {1, 2}}])
    with pytest.raises(PromptError, match="set is no plain value"):
        wire.write_prompt(prompt)
