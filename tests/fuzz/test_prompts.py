"""Fuzzing of prompts, messages, tools and calls; see fuzz_running for how many cases."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adafuse.prompting.prompt import read_prompt
from adafuse.tools import InvalidCall, read_calls, read_tools
from fuzz_asking import ANSWERS, PROMPTS, TOOLS, WAYS
from fuzz_running import ends_well, fuzzed
from fuzz_values import ANY, near


@fuzzed(0.15, 100)
@given(near(PROMPTS), near(WAYS["prompt_format"]), near(TOOLS, 20))
def test_fuzz_prompts(prompt: Any, form: Any, tools: Any) -> None:
    with ends_well():
        read = read_prompt(prompt, form, tools)
        for message in read.messages:
            assert isinstance(message["content"], str)
            json.dumps(message, default=repr).encode()


@fuzzed(0.1, 100)
@given(st.one_of(TOOLS, ANY))
def test_fuzz_tools(tools: Any) -> None:
    with ends_well():
        json.dumps(read_tools(tools)).encode()


@fuzzed(0.05, 100)
@given(ANSWERS, st.one_of(st.none(), st.just(["add"])))
def test_fuzz_calls_in_answers(answer: str, names: list[str] | None) -> None:
    content, calls = read_calls(answer, names)  # raises nothing
    assert len(content) <= len(answer)
    for call in calls:
        if isinstance(call, InvalidCall):
            assert call.error
            assert "\n" not in call.error
        else:
            json.dumps(call.arguments)


def test_fuzz_finds_prompts_that_are_read() -> None:
    read = []

    @fuzzed(0, 200)
    @given(PROMPTS)
    def check(prompt: Any) -> None:
        with ends_well():
            read.append(read_prompt(prompt))

    check()
    assert len(read) > 20


@pytest.mark.parametrize("depth", [90, 500, 5_000])
def test_fuzz_depth(depth: int) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    call = {"id": "1", "function": {"name": "f", "arguments": {"a": value}}}
    with ends_well():
        read_prompt([{"role": "assistant", "content": "x", "tool_calls": [call]}])
    with ends_well():
        read_prompt([{"role": "user", "content": "x", "extra": value}])
    with ends_well():
        read_prompt([{"role": "user", "content": value}])


@pytest.mark.parametrize("odd", [np.array([1, 2]), np.array(1.5), [[]], {}, b"text"])
def test_fuzz_types_that_cannot_be_compared(odd: Any) -> None:
    call = {"type": odd, "function": {"name": "f", "arguments": {}}}
    for message in (
        {"role": "user", "content": [{"type": odd, "text": "x"}]},
        {"role": "assistant", "content": "x", "tool_calls": [call]},
        {"role": "assistant", "content": "x", "tool_calls": odd},
        {"role": odd, "content": "x"},
        {"role": "user", "content": "x", "name": odd},
    ):
        with ends_well():
            read_prompt([message])
    with ends_well():
        read_prompt("x", odd)
    with ends_well():
        read_prompt("x", "chat", odd)
