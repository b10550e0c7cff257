"""Where a trigger begins in a text that grows, however it is cut."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adafuse.tools import CALL_START
from adafuse.tools.syntax import find_trigger, open_length

CHECKED = settings(max_examples=200, deadline=None, derandomize=True)
PIECES = st.lists(st.sampled_from(["<", "<tool", "_call>", CALL_START, "é", ""]), max_size=8)


@CHECKED
@given(PIECES)
@example(["x<tool", "_c", "all>y"])
def test_a_trigger_is_found_in_the_piece_that_completes_it(pieces: list[str]) -> None:
    text = ""
    for piece in pieces:
        at = find_trigger(text, piece, CALL_START)
        data = find_trigger(text.encode(), piece.encode(), CALL_START.encode())
        text += piece
        place = text.find(CALL_START)
        assert at == (place if place >= 0 else None)
        assert data == (len(text[:place].encode()) if place >= 0 else None)
        if place >= 0:
            return


@CHECKED
@given(PIECES)
@example(["<tool", "<tool"])
def test_the_open_end_of_a_text_is_the_longest_that_could_begin_the_trigger(
    pieces: list[str],
) -> None:
    text = "".join(pieces)
    begun = [n for n in range(len(CALL_START)) if text.endswith(CALL_START[:n])]
    assert open_length(text, CALL_START) == begun[-1]
