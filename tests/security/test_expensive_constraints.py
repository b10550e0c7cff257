"""Settings that are small to write and would be huge to enforce end soon, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.json_schema.document import SchemaError
from adafuse.json_schema.regexes import found
from adafuse.testing import ScriptedMember
from expensive_settings import BOMBS

HANGS = 1200  # seconds; all take a fraction of it

# What is answered all the same; the others are refused.
ANSWERED = {
    "allOf doubled": "null",
    "anyOf doubled": "null",
    "chain of references": "null",
    "list of itself": "[]",
    "backtracking": "a",
    "backtracking, two ways": "ab",
    "ambiguous grammar": "",
}
ERRORS = {"ConfigError", "DecodingError", "IncompleteAnswerError"}


@pytest.fixture(scope="module")
def tried() -> Any:
    """In a process of its own, whose memory is measured, and which can be ended if it hangs."""
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "expensive_settings.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered_or_refused_in_one_line(tried: Any, name: str) -> None:
    error, text = tried["outcomes"][name]
    if name in ANSWERED:
        assert (error, text) == ("", ANSWERED[name])
    else:
        assert error in ERRORS, (error, text)
        assert "\n" not in text
        assert len(text) < 400


def test_bombs_fit_in_little_memory(tried: Any) -> None:
    assert tried["peak_bytes"] < 2 * 2**30  # most of it is torch and what it brings


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # Python's own, of sets
@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        (r"\{e}", "{e}", True), ("[{e}]+$", "{e", True), ("[:alpha:]", "z", False),
        ("[a&&b]", "&", True), ("a{,2}$", "aa", True), ("[]a]", "]", True),
        ("(a{400}){400}", "a", False), ("^(?:a{20}){3}$", "a" * 60, True),
    ],
)  # fmt: skip
def test_searching_is_what_python_means(pattern: str, text: str, is_found: bool) -> None:
    assert found(pattern, text) is is_found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("^(a|aa)+$", "takes too long"), ("((a{999}){999}){9}", "counts that are too large")],
)
def test_searching_is_bounded(pattern: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        found(pattern, "a" * 60 + "b")


# Stops


def _stopped(answer: str, stops: list[str]) -> str:
    ensemble = Ensemble([ScriptedMember(answer)])
    return ensemble.generate("prompt", max_new_tokens=5000, stop=stops).text


def test_ten_thousand_stops() -> None:
    stops = [f"stop{at}" for at in range(10_000)]
    answer = "a word " * 100
    assert _stopped(f"{answer}stop9999 more", stops) == f"{answer}"
    assert _stopped(f"{answer}sto", stops) == f"{answer}sto"


def test_stops_of_a_megabyte() -> None:
    stops = [letter * 1_000_000 for letter in "ab"]
    answer = "a b aaaa bbbb " * 50
    assert _stopped(answer, stops) == answer
    assert _stopped(answer, [*stops, "bbbb"]) == "a b aaaa "
