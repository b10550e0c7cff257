"""Settings of the command: every option reaches the decoder, and defaults are the library's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adafuse import DecodingConfig
from adafuse.config import CONSTRAINTS
from cli_calls import PAIR, Call, ask, one_line_error


def test_every_setting_reaches_the_decoder(call: Call) -> None:
    given = {
        "margin_threshold": 0.25,
        "max_words": 2,
        "branches": 5,
        "max_word_tokens": 9,
        "temperature": 0.5,
        "seed": 7,
        "max_new_tokens": 99,
        "repetition_penalty": 1.5,
        "rule": "paper",
        "combine": "product",
        "prompt_exponent": 0.5,
        "top_p": 0.9,
        "timeout": 30.0,
        "round_timeout": 2.5,
        "on_member_error": "drop",
        "min_members": 2,
    }
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    more = [
        "--no-pool-stops",
        "--no-repetition-guard",
        "--stop",
        "x",
        "--stop",
        "\n\n",
        "--weight",
        "1",
        "--weight",
        "2.5",
    ]
    result = ask("question", *PAIR, *arguments, *more, "--device", "cpu", "--dtype", "bfloat16")
    assert result.exit_code == 0
    free = dict.fromkeys(CONSTRAINTS)
    given |= {"pool_stops": False, "repetition_guard": False}
    expected = {**given, "speculation": True, "stop": ("x", "\n\n"), "weights": (1.0, 2.5), **free}
    assert call.options == {**expected, "device": "cpu", "dtype": "bfloat16"}


def test_an_answer_can_be_constrained(call: Call, tmp_path: Path) -> None:
    schema, file = {"type": "object", "properties": {"é": {"const": 1}}}, tmp_path / "schema.json"
    file.write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")
    for given in (str(file), json.dumps(schema)):
        assert ask("question", *PAIR, "--json-schema", given).exit_code == 0
        assert call.options["json_schema"] == schema
    lark = 'start: "x" | "y"'
    file.write_text(lark, encoding="utf-8")
    for given in (str(file), lark):
        assert ask("question", *PAIR, "--grammar", given).exit_code == 0
        assert call.options["grammar"] == lark
    ask("question", *PAIR, "--regex", "[0-9]+")
    assert call.options["regex"] == "[0-9]+"
    ask("question", *PAIR, "--choice", "yes", "--choice", "no, thanks")
    assert call.options["choices"] == ("yes", "no, thanks")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json-schema", "{"], "neither a file nor JSON"),
        (["--json-schema", '{"not": {}}'], "not"),
        (["--regex", "(a"], "regex cannot be enforced"),
        (["--grammar", "start: nothing"], "nothing"),
        (["--regex", "a", "--choice", "b"], "regex and choices"),
    ],
)
def test_what_cannot_be_enforced_is_refused_before_models_load(
    arguments: list[str], said: str, call: Call
) -> None:
    assert said in one_line_error(ask("question", *PAIR, *arguments))
    assert not hasattr(call, "options")


def test_defaults_are_those_of_the_library(call: Call) -> None:
    ask("question", *PAIR)
    settings = {k: v for k, v in call.options.items() if k not in ("device", "dtype")}
    assert DecodingConfig(**settings) == DecodingConfig()


def test_a_preset_stands_for_options_that_are_not_given(call: Call) -> None:
    ask("question", *PAIR, "--preset", "paper", "--branches", "7")
    expected = DecodingConfig().override(preset="paper", branches=7)
    settings = {k: v for k, v in call.options.items() if k not in ("device", "dtype")}
    assert DecodingConfig(**settings) == expected
    ask("question", *PAIR, "--preset", "paper", "--max-words", "3")
    assert call.options["max_words"] == 3
