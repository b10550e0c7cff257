"""What constrained answers are tried with, in several test modules."""

import functools
import json
from typing import Any

import torch

from adafuse import (
    Ensemble,
)
from adafuse.constraints.constraint import Constraint
from adafuse.local.member import LocalMember
from adafuse.tools import CALL_START
from families import BIAS_FEATURE, FAMILIES, Pair, family

NAMES = [name for name in FAMILIES if name != "t5"]  # it cannot write every text


GRAMMARS = (
    'start: sum\nsum: number (" + " number){1,3}\nnumber: /[0-9]{1,2}/',
    'start: "- " WORD ("\\n- " WORD){0,2}\nWORD: /[a-zé]{1,5}/',
    'start: "x" | "if x < 5:\\n    " /[a-z]{1,4}/ "\\n"',
)


@functools.cache
def caller(seed: int, **config: Any) -> Pair:
    """A model that calls tools: to its tokenizer `<tool_call>` is one token, and no special one."""
    model, tokenizer = FAMILIES["qwen2"](seed, eos_bias=-5.0, **config)
    head: Any = model.get_output_embeddings()
    with torch.no_grad():
        head.weight[tokenizer.convert_tokens_to_ids(CALL_START), BIAS_FEATURE] = 8.0
    return model, tokenizer


@functools.cache
def looper(name: str, seed: int) -> Pair:
    """A model that closes no string, list or object as long as it may go on."""
    model, tokenizer = FAMILIES[name](seed, eos_bias=-5.0)
    head: Any = model.get_output_embeddings()
    with torch.no_grad():
        for number in range(len(tokenizer)):
            text = tokenizer.decode([number])
            if '"' in text:
                head.weight[number, BIAS_FEATURE] = -9.0
            if "]" in text or "}" in text:
                head.weight[number, BIAS_FEATURE] = -40.0
    return model, tokenizer


PROMPT = "Hello world, this is"


PERSON = {
    "type": "object",
    "properties": {"first name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["first name", "age"],
}


def ensemble(*names: str, seed: int = 1, **config: Any) -> Ensemble:
    members = [
        LocalMember(*family(name, seed, **config), f"{name}-{at}") for at, name in enumerate(names)
    ]
    return Ensemble(members)


def person(text: str) -> dict[str, Any]:
    value = json.loads(text)
    assert list(value) == ["first name", "age"]
    assert isinstance(value["first name"], str)
    assert isinstance(value["age"], int)
    return dict(value)


CALLS = Constraint(
    "call", r'start: "<tool_call>\n{" /[^}]+/ "}}\n</tool_call>"', "<tool_call>", False, prose=True
)


CLOSED_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


CLOSABLE = (
    "(ab)*c",
    r"[a-z]{5,}@x\.(com|org)",
    r"\d{4}-\d{2}-\d{2}",
    r"(0[1-9]|1[0-2])/([0-2]\d|3[01])/(19|20)\d\d",
    r'"([^"\\]|\\.)*"',
    "[^x]*x",
    "(a+b+)+c",
    "(a|b)*abb",
    r"\p{Lu}\p{Ll}+( \p{Lu}\p{Ll}+)*\.",
    r"[A-Z][^.]*\.",
    r".*[!?]",
    r"(.|\n)*END",
    r"<think>(.|\n)*</think>(yes|no)",
    r"- [^\n]+(\n- [^\n]+){2,}",
    r".{50,}\.",
    "(?:[^a]|a[^b])*ab",
    "é+ü",
    "[一-龥]{2,5}。",
    "q[^q]{0,50}q",
    "(foo|bar|baz)+qux",
    "0*10*10*1",
)
