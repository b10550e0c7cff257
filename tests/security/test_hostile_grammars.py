"""Grammars that would end the process, or mean other things to other members."""

from __future__ import annotations

import pytest

from adafuse import ConfigError, Ensemble
from adafuse.testing import ScriptedMember


def ask(text: str, **settings: object) -> str:
    return Ensemble([ScriptedMember(text)]).generate("x", max_new_tokens=2000, **settings).text


def chain(rules: int, head: str = "r{at}: ") -> str:
    """Rules that each lead to the next: deep enough, they overflow the stack of the library."""
    heads = [head.format(at=at) for at in range(rules)]
    lines = [f'{one}"a" r{at + 1}' for at, one in enumerate(heads)]
    return "\n".join(["start: r0", *lines, f'r{rules}: "b"'])


@pytest.mark.parametrize(
    "head",
    ["r{at}: ", "r{at} : ", "?r{at}: ", 'r{at}[capture="x"]: ', "r{at}[lazy] : ", "  r{at}:"],
)
def test_chains_of_rules_do_not_end_the_process(head: str) -> None:
    with pytest.raises(ConfigError, match="rules, and up to 1000 can be followed"):
        ask("x", grammar=chain(5000, head))


def test_chains_that_can_be_followed_are() -> None:
    assert ask("a" * 900 + "b", grammar=chain(900)) == "a" * 900 + "b"


@pytest.mark.parametrize(
    "grammar",
    [
        'start: "x" <[1]>', "start: <[5-9]>", "start: <[^1]>", "start: <[*]>", "start: <|im_end|>",
        "start: <end>", 'start: "\\"" <[1]>', 'start: /"/ <[1]>', 'start: "a" // "\nstart2: <[1]>',
        "start: %lark { start: <[1]> }",
    ],
)  # fmt: skip
def test_tokens_are_no_part_of_a_grammar_for_several_vocabularies(grammar: str) -> None:
    with pytest.raises(ConfigError, match="is a token, and members have different ones"):
        ask("x", grammar=grammar)


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        ('start: "<[1]>"', "<[1]>"),
        ("start: /<b>/", "<b>"),
        ('start: "a" // <[1]>: is a token\n', "a"),
        ('start: "a: b" /c:d/', "a: bc:d"),
        ('start: %json {"type": "string", "enum": ["<x>"]}', '"<x>"'),
    ],
)
def test_texts_that_look_like_tokens_or_rules_are_texts(grammar: str, text: str) -> None:
    assert ask(text, grammar=grammar) == text


def test_grammars_of_json_are_refused() -> None:
    with pytest.raises(ConfigError, match="it is JSON; write it as Lark"):
        ask("x", grammar='{"grammars": [{"lark_grammar": "start: <[1]>"}]}')


def test_long_grammars_are_refused() -> None:
    words = " | ".join(f'"w{at}"' for at in range(100_000))
    with pytest.raises(ConfigError, match="up to 250000 are read"):
        ask("x", grammar=f"start: {words}")


def test_the_number_of_choices_has_a_limit() -> None:
    assert ask("c7", choices=[f"c{at}" for at in range(1999)]) == "c7"
    with pytest.raises(ConfigError, match="up to 1999"):
        ask("c7", choices=[f"c{at}" for at in range(2000)])
