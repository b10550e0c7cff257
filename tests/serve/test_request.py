"""Arguments that change nothing are taken; what cannot be followed is refused, and named."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import openai
import pytest

from adafuse import Ensemble
from adafuse.testing import ScriptedMember
from serve_script import ADD, CALL, NO_OBJECT, TEXT, ask, asked, scripted
from serve_setup import Running, poll, serving


@pytest.fixture(scope="module")
def server() -> Generator[Running]:
    with serving(scripted()) as running:
        yield running


def test_neutral_arguments_change_nothing(server: Running) -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "top_p": 0.5,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
        "logit_bias": {},
        "store": False,
        "seed": 3,
        "temperature": 0,
        "user": "someone",
        "service_tier": "auto",
        "parallel_tool_calls": False,
        "tool_choice": "auto",
    }
    assert ask(server, "hello", **neutral).choices[0].message.content == TEXT


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model"),
        ({"n": 2}, "unsupported_argument", "n"),
        ({"top_p": 0}, "invalid_value", "top_p"),
        ({"logprobs": 2}, "invalid_value", "logprobs"),
        ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "invalid_value", "top_logprobs"),
        ({"logprobs": True, "extra_body": {"rule": "paper"}}, "invalid_value", "logprobs"),
        ({"extra_body": {"branch": 1}}, "unknown_argument", "branch"),
        ({"extra_body": {"max_new_tokens": 1}}, "unknown_argument", "max_new_tokens"),
        ({"extra_body": {"branches": 0}}, "invalid_value", "branches"),
        ({"extra_body": {"weights": [1]}}, "invalid_value", "weights"),
        ({"extra_body": {"preset": "best"}}, "invalid_value", "preset"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": "9"}, "invalid_value", "max_tokens"),
        ({"temperature": -1}, "invalid_value", "temperature"),
        ({"seed": 1.5}, "invalid_value", "seed"),
        ({"stop": [""]}, "invalid_value", "stop"),
        ({"stream_options": 1}, "invalid_value", "stream_options"),
        ({"user": 1}, "invalid_value", "user"),
        ({"messages": []}, "invalid_prompt", "messages"),
        ({"messages": asked("")}, "invalid_prompt", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "invalid_prompt", "messages.[0]"),
        ({"messages": [{"role": "user"}]}, "invalid_prompt", "messages.[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_prompt", "messages.[0]"),
        (
            {"messages": [*asked("x"), {"role": "user", "content": "y", "cat": 1}]},
            "invalid_prompt",
            "messages.[1]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "invalid_prompt",
            "messages.[0]",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [NO_OBJECT]}]},
            "invalid_prompt",
            "messages.[0]",
        ),
        ({"tools": [{"type": "retrieval"}]}, "invalid_prompt", "tools"),
        ({"tools": [ADD], "tool_choice": "sub"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"parallel_tool_calls": "yes"}, "invalid_value", "parallel_tool_calls"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format"),
        # Nothing is ignored silently inside of objects either.
        *(
            ({"response_format": form}, "invalid_value", "response_format")
            for form in (
                {"type": "text", "schema": {}},
                {"type": "json_object", "json_schema": {"schema": {}}},
                {"type": "json_object", "shema": {}},
                {"type": "json_schema", "schema": {}},
                {"type": "json_schema", "json_schema": {"name": "x", "shema": {}}},
                {"type": "json_schema", "json_schema": {"schema": {}, "strikt": True}},
                {"type": "json_schema", "json_schema": {"schema": {}}, "strict": True},
            )
        ),
        *(
            ({"tools": [one]}, "invalid_prompt", "tools")
            for one in (
                {**ADD, "parameters": {}},
                {"type": "function", "function": {"name": "f", "paramters": {}}},
                {"type": "function", "function": {"name": "f", "input_schema": {}}},
            )
        ),
        *(
            ({"tools": [ADD], "tool_choice": choice}, "invalid_value", "tool_choice")
            for choice in (
                {"type": "auto", "disable_parallel_tool_use": True},
                {"type": "function", "function": {"name": "add", "nmae": "x"}},
                {"type": "function", "function": {"name": "add"}, "mode": "auto"},
                {"type": "file", "name": "add"},
            )
        ),
        *(
            ({"messages": [*asked("x"), message]}, "invalid_prompt", "messages.[1]")
            for message in (
                {"role": "user", "content": [{"type": "text", "text": "y", "txt": "z"}]},
                {"role": "user", "content": "y", "tool_call_id": "1"},
                {"role": "assistant", "tool_calls": [{**CALL, "cat": 1}]},
                {
                    "role": "assistant",
                    "tool_calls": [{**CALL, "function": {"name": "add", "argumets": "{}"}}],
                },
            )
        ),
        ({"extra_body": {"regex": "("}}, "invalid_value", "regex"),
        ({"extra_body": {"grammar": "start: ("}}, "invalid_value", "grammar"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_refused_by_name(
    server: Running, options: dict[str, Any], code: Any, param: str | None, stream: bool
) -> None:
    kind = code if isinstance(code, type) else openai.BadRequestError
    with pytest.raises(kind) as caught:
        ask(server, "hello", stream=stream, **options)
    error = caught.value
    assert (error.code, error.param) == (
        "model_not_found" if isinstance(code, type) else code,
        param,
    )
    assert error.type == "invalid_request_error"
    assert "\n" not in error.message
    poll(server.idle)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("top_k", "not supported; use temperature or top_p"),
        ("min_p", "not supported; use temperature or top_p"),
        ("repeat_penalty", "not supported; use repetition_penalty"),
        ("num_predict", "not supported; use max_tokens"),
        ("num_ctx", "not supported; leave it out"),
    ],
)
def test_settings_of_other_servers_are_refused_with_what_to_use(
    server: Running, name: str, remedy: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=remedy) as caught:
        ask(server, "hello", extra_body={name: 1})
    assert caught.value.param == name
    assert "did you mean" not in caught.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": []},
        {"prompt": [1, 2]},
        {"prompt": [[1, 2]]},
        {"prompt": ""},
        {"prompt": ["a", ""]},
        {"prompt": None},
        {"prompt": "a", "echo": True},
        {"prompt": "a", "best_of": 2},
        {"prompt": "a", "logprobs": True},
        {"prompt": "a", "logprobs": -1},
        {"prompt": "a", "logprobs": 2, "rule": "paper"},
        {"prompt": "a", "top_logprobs": 2},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a", "tools": [ADD]},
        {"prompt": "a", "prompt_format": "html"},
    ],
)
def test_completions_that_are_refused(server: Running, options: dict[str, Any]) -> None:
    answer = server.post({"model": "adafuse", **options}, "completions")
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_prompt_that_is_too_long(server: Running) -> None:
    small = Ensemble([ScriptedMember("x", name="small", window=5)])
    with serving(small) as running, pytest.raises(openai.BadRequestError) as caught:
        ask(running, "more than five", stream=True)
    assert caught.value.code == "context_length_exceeded"
    assert "'small'" in caught.value.message
