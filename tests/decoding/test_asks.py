"""How often members are asked in a round: once for each thing, however many there are."""

from collections import Counter
from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.decoding.sessions import SessionGroup
from adafuse.local.member import LocalMember
from adafuse.local.session import LocalSession
from families import family

NAMES = ("llama", "gemma3", "gpt2", "qwen2")


def members(number: int) -> list[LocalMember]:
    return [LocalMember(*family(name, 1, eos_bias=-9.0), name) for name in NAMES[:number]]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_room_is_read_at_most_once_per_member_and_round(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    reads: Counter[LocalSession] = Counter()
    room: Any = LocalSession.room

    def counted(session: LocalSession) -> int:
        reads[session] += 1
        return int(room.fget(session))

    monkeypatch.setattr(LocalSession, "room", property(counted))
    answer = Ensemble(members(number)).generate("Hello world, this is", max_new_tokens=12)
    assert len(answer.rounds) > 2
    assert len(reads) == number
    assert all(count <= len(answer.rounds) for count in reads.values())


def test_a_round_asks_as_often_whatever_the_number_of_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks: Counter[str] = Counter()
    ask = SessionGroup.ask

    def counted(group: SessionGroup, phase: str, *arguments: Any) -> Any:
        asks[phase] += 1
        return ask(group, phase, *arguments)

    monkeypatch.setattr(SessionGroup, "ask", counted)
    for number in (1, 2, 3, 4):
        asks.clear()
        answer = Ensemble(members(number)).generate("def add(a, b):", max_new_tokens=12)
        rounds, scored = len(answer.rounds), sum(round_.scored for round_ in answer.rounds)
        assert asks["draft"] <= 2 * rounds  # what is likely, and the drafts
        assert asks["score"] == scored
        # What the first has committed, whether it fits, the commit; rooms and the first count once,
        # and the last text may be cut by one member after another.
        assert asks["commit"] <= 3 * rounds + 2 + 2 * number
