"""Stop strings in any number and of any length cost what they are long, and no more."""

from __future__ import annotations

import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.testing import ScriptedMember
from adafuse.text.stop_strings import StopScanner
from adafuse.validation import read_stops
from fuzz_running import ends_well

MANY = [f"stop {at}!" for at in range(10_000)]
LONG = "a" * 1_000_000


class Counted(str):
    """A text that counts how often a stop is held against it."""

    looks = 0

    def startswith(self, *args: object) -> bool:  # type: ignore[override]
        Counted.looks += 1
        return super().startswith(*args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        (MANY, "x stop 9 stop 9999! y", "x stop 9 "),
        (MANY, "stop " * 40, "stop " * 40),
        ([LONG], "a" * 300, "a" * 300),
        ([f"{LONG}{at}" for at in range(20)], "a" * 300 + "b", "a" * 300 + "b"),
        ([*MANY, LONG, "b"], "a" * 300 + "b", "a" * 300),
    ],
    ids=["many", "many begun", "long", "long and alike", "all"],
)
def test_answers_end_where_they_should(stops: list[str], text: str, expected: str) -> None:
    with ends_well():
        answer = Ensemble([ScriptedMember(text)]).generate("x", stop=stops, max_new_tokens=500)
        assert answer.text == expected


@pytest.mark.parametrize("alike", [MANY, [f"{'a' * 50}{at}" for at in range(10_000)]])
def test_a_place_is_looked_at_while_a_stop_may_go_on_there(alike: list[str]) -> None:
    """Which stops begin with a text is found by their order, not by asking each."""
    Counted.looks = 0
    scanner = StopScanner(tuple(map(Counted, alike)))
    rounds = 200
    for _ in range(rounds):
        scanner.feed("stop aaaa")
        assert scanner.open_length <= 60
    assert Counted.looks < 40 * rounds


def test_what_is_wrong_with_one_of_many_is_found() -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        read_stops("stop", [*MANY, LONG + "\ud800"])
    assert len(DecodingConfig(stop=[*MANY, *MANY]).stop) == len(MANY)  # type: ignore[arg-type]
