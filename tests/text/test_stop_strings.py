"""Stop strings: where they end an answer, and that nothing shown is ever taken back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse import DecodingConfig, Ensemble, Prompt
from adafuse.testing import ScriptedMember, ScriptedSession
from adafuse.text.stop_strings import StopScanner

CHECKED = settings(max_examples=150)
LETTERS = "ab \n"  # few, so that stops and parts of them are met often
TEXTS = st.text(st.sampled_from(LETTERS), max_size=30)
STOPS = st.lists(st.text(st.sampled_from(LETTERS), min_size=1, max_size=5), max_size=4)


@st.composite
def pieces(draw: st.DrawFn) -> list[str]:
    """A text cut anywhere; some pieces are empty."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def before_stop(text: str, stops: Sequence[str]) -> str | None:
    """DESIGN 3.5, character by character."""
    for end in range(1, len(text) + 1):
        if completed := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, completed))]
    return None


def open_text(text: str, stops: Sequence[str]) -> int:
    """How long the longest suffix is that begins a stop and does not complete it."""
    begun = {stop[:length] for stop in stops for length in range(1, len(stop))}
    return max((len(one) for one in begun if text.endswith(one)), default=0)


@given(pieces(), STOPS)
@CHECKED
def test_a_text_in_pieces_is_cut_where_the_whole_text_is(
    parts: list[str], stops: list[str]
) -> None:
    scanner = StopScanner(tuple(stops))
    text = ""
    for part in parts:
        text += part
        cut = scanner.feed(part)
        expected = before_stop(text, stops)
        assert cut == (None if expected is None else len(expected))
        if cut is not None:
            return
        assert scanner.text == text
        assert scanner.open_length == open_text(text, stops)


@given(pieces(), STOPS)
@CHECKED
def test_decided_text_is_never_part_of_a_stop(parts: list[str], stops: list[str]) -> None:
    scanner = StopScanner(tuple(stops))
    decided = 0
    for part in parts:
        cut = scanner.feed(part)
        if cut is not None:
            assert cut >= decided
            return
        decided = len(scanner.text) - scanner.open_length


@pytest.mark.parametrize(
    ("text", "stops", "answer"),
    [
        ("a stop here", ("stop",), "a "),
        ("one END two", ("ND", "END", "one END"), ""),  # completed together: the longest goes
        ("xyz", ("xyzw", "yz"), "x"),
        ("aaab", ("aab",), "a"),
        ("a\n\nUser: b", ("\n\nUser:",), "a"),
        ("no such", ("nothing",), None),
        ("é日本👩‍🔬語", ("\u200d",), "é日本👩"),
    ],
)
def test_the_first_completed_stop_ends_the_answer_and_the_longest_there_is_removed(
    text: str, stops: tuple[str, ...], answer: str | None
) -> None:
    assert before_stop(text, stops) == answer
    ended = Ensemble([ScriptedMember(text)]).generate("p", stop=stops)
    assert ended.text == (text if answer is None else answer)
    assert ended.finish_reason == ("stop" if answer is None else "stop_string")


@dataclass(frozen=True)
class Watched(ScriptedMember):
    """A scripted member that notes how long the answer is after each round."""

    lengths: list[int] = field(default_factory=list)

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = super().open(prompt, config)
        commit = session.commit

        def noted(text: str, ends: bool) -> None:
            commit(text, ends)
            self.lengths.append(session.usage.committed_tokens)  # a character is a token

        session.commit = noted  # type: ignore[method-assign]
        return session


@given(TEXTS, STOPS, st.booleans(), st.integers(1, 3))
@CHECKED
def test_released_text_is_never_taken_back_and_is_released_as_soon_as_it_can_be(
    text: str, stops: list[str], confident: bool, max_words: int
) -> None:
    member = Watched(text, confident=confident)
    rounds, released, seen = [], "", []
    for one in Ensemble([member]).stream(
        "p", stop=stops, max_words=max_words, rule="paper", pool_stops=False
    ):
        rounds.append(one)
        released += one.text
        seen.append((len(released), len(member.lengths)))
    for shown, committed in seen:
        if committed == len(member.lengths):
            break  # the answer has ended, and all that was held back comes out
        decided = [at - open_text(text[:at], stops) for at in member.lengths]
        assert committed == next(at for at, now in enumerate(decided, 1) if now >= shown)
    expected = before_stop(text, stops)
    assert released == (text if expected is None else expected)
    assert rounds[-1].finish_reason == ("stop" if expected is None else "stop_string")
    assert [one.finish_reason for one in rounds[:-1]] == [None] * (len(rounds) - 1)
    assert rounds[-1].ends == (expected is None)
    assert ["".join(one.words) for one in rounds] == [one.text for one in rounds]
    assert all(word for one in rounds for word in one.words)


@given(TEXTS, TEXTS, STOPS, st.integers(1, 12))
@CHECKED
def test_an_answer_of_several_members_is_cut_by_stops_and_by_length(
    first: str, second: str, stops: list[str], limit: int
) -> None:
    members = [ScriptedMember(first, "a"), ScriptedMember(second, "b", confident=False)]
    whole = Ensemble(members).generate("p", max_new_tokens=limit)
    answer = Ensemble(members).generate("p", max_new_tokens=limit, stop=stops, pool_stops=False)
    expected = before_stop(whole.text, stops)
    assert len(whole.text) <= limit
    assert answer.text == (whole.text if expected is None else expected)
    assert answer.text == "".join(word for one in answer.rounds for word in one.words)
    if expected is None:
        assert answer.finish_reason == whole.finish_reason
    else:
        assert answer.finish_reason == "stop_string"
        assert not answer.rounds[-1].ends


def test_stops_may_span_rounds_and_words() -> None:
    member = ScriptedMember("one two three four", confident=False)
    rounds = list(Ensemble([member]).stream("p", stop="o three f"))
    assert [one.text for one in rounds] == ["one", " tw", "", ""]
    assert [one.words for one in rounds] == [("one",), (" tw",), (), ()]
    assert rounds[-1].finish_reason == "stop_string"
