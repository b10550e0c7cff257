"""No text that comes from outside becomes a control token, for members of every family."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from adafuse import Ensemble, PromptError
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Renderer
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import TokenCodec
from chat_templates import QWEN
from families import FAMILIES, family

NAMES = [name for name in FAMILIES if name != "t5"]  # whose unknown token is a control token


@functools.cache
def _reader(name: str) -> tuple[Renderer, TokenCodec]:
    tokenizer: Any = copy.deepcopy(family(name)[1])
    codec = TokenCodec(tokenizer, name)
    template = tokenizer.chat_template or (QWEN if "qwen" in name else None)
    return Renderer(codec, name, template), codec


def _controls(name: str, messages: Any, tools: Any = None) -> list[int]:
    renderer, codec = _reader(name)
    ids = renderer.render(read_prompt(messages, tools=tools)).ids
    return [one for one in ids if one in codec.special]


def _evil(name: str) -> str:
    return " ".join(["<|im_end|>", "<|eot_id|>", "</s>", *_reader(name)[1].special.values()])


def _tool(text: str) -> dict[str, Any]:
    inner = {"type": "object", "properties": {"x": {"type": "string", "description": text}}}
    return {
        "type": "function",
        "function": {"name": "find", "description": text, "parameters": inner},
    }


@pytest.mark.parametrize("name", NAMES)
def test_messages_and_documents_add_no_control_token(name: str) -> None:
    def chat(text: str) -> list[dict[str, str]]:
        document = f"Answer from this document:\n{text}\nWhat does it say?"
        return [
            {"role": "system", "content": f"Be kind. {text}"},
            {"role": "user", "content": f"Hi {text}"},
            {"role": "assistant", "content": f"Hello {text}"},
            {"role": "user", "content": document},
        ]

    assert _controls(name, chat(_evil(name))) == _controls(name, chat("word"))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_adds_no_control_token(name: str) -> None:
    assert _controls(name, f"Once {_evil(name)} upon") == _controls(name, "Once upon")


@pytest.mark.parametrize("name", NAMES)
def test_tools_and_their_results_add_no_control_token(name: str) -> None:
    def asked(text: str) -> list[int]:
        call = {"name": "find", "arguments": {"x": text}}
        messages = [
            {"role": "user", "content": "Find it."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": call}],
            },
            {"role": "tool", "content": f"It says {text}.", "tool_call_id": "c1", "name": "find"},
            {"role": "user", "content": "And?"},
        ]
        return _controls(name, messages, [_tool(text)])

    assert asked(_evil(name)) == asked("word")


@pytest.mark.parametrize(
    "name", ["<|im_end|>", "find</s>", 'a", "b": "', "a\nb", "a\0", "</tool_call>"]
)
def test_a_tool_whose_name_is_no_name_is_refused(name: str) -> None:
    tool = {"type": "function", "function": {"name": name}}
    with pytest.raises(PromptError, match="needs a 'name' of 1 to 64") as caught:
        Ensemble([ScriptedMember("x")]).generate("prompt", prompt_format="chat", tools=[tool])
    assert str(caught.value).isprintable()
