"""Where a word ends, whatever pieces its bytes come in (DESIGN 3.1)."""

import codecs
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse.text.words import Word, decode, split_words, starts_with_whitespace

CAP = 16
CHECKED = settings(max_examples=100)

# Bytes as models write them: whole characters, halves of some, and bytes that are no UTF-8.
CHARACTERS = "aß我のไ👩\u200d\u0301\u3000\u00a0 \n\t。\ufffd"
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([c.encode() for c in CHARACTERS]),
    st.sampled_from([c.encode()[:-1] for c in CHARACTERS]),
    st.sampled_from([b"\x80", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]),
)
BYTES = st.lists(PIECES, max_size=12)
TEXTS = st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters(codec="utf-8")), max_size=12)


@st.composite
def splits(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXTS) -> tuple[str, list[bytes]]:
    """A text, and its UTF-8 bytes cut anywhere."""
    text = draw(texts)
    data = text.encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = zip([0, *cuts], [*cuts, len(data)], strict=True)
    return text, [data[start:end] for start, end in edges]


def read(pieces: Sequence[bytes]) -> Word:
    word = Word()
    for piece in pieces:
        word = word.read(piece)
    return word


def of(text: str) -> Word:
    """A word read in one token."""
    return Word().read(text.encode())


@given(BYTES)
@CHECKED
def test_decode_is_pythons_incremental_decoder_for_any_bytes(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, pending, _ = decode(data)
    assert text == decoder.decode(data)
    assert pending == decoder.getstate()[0]


@given(BYTES)
@CHECKED
def test_a_word_reads_any_bytes_in_pieces_as_python_reads_them_at_once(
    pieces: list[bytes],
) -> None:
    text, pending, _ = decode(b"".join(pieces))
    word = read(pieces)
    assert (word.text, word.pending, word.tokens) == (text, pending, len(pieces))


@given(BYTES)
@CHECKED
def test_replacements_are_counted_and_written_replacement_characters_are_not(
    pieces: list[bytes],
) -> None:
    text, pending, replaced = decode(b"".join(pieces))
    valid = b"".join(pieces).removesuffix(pending).decode("utf-8", "ignore")
    assert replaced == text.count("\ufffd") - valid.count("\ufffd")


def test_a_replacement_is_counted_for_each_impossible_sequence() -> None:
    assert decode(b"a\xffb\xc0\xaf") == ("a\ufffdb\ufffd\ufffd", b"", 3)
    assert decode("\ufffd".encode()) == ("\ufffd", b"", 0)
    assert decode("\ufffd".encode() + b"\xff") == ("\ufffd\ufffd", b"", 1)
    assert decode("日".encode()[:2]) == ("", "日".encode()[:2], 0)
    assert decode("日".encode()[:2] + b"a") == ("\ufffda", b"", 1)


@given(splits())
@CHECKED
def test_a_text_cut_anywhere_in_its_bytes_is_read_back(case: tuple[str, list[bytes]]) -> None:
    text, pieces = case
    word = read(pieces)
    assert (word.text, word.pending, word.whole_text) == (text, b"", text)
    assert word.whole_tokens == len(pieces)
    assert word.without_pending() == word


@given(splits())
@CHECKED
def test_a_pending_character_never_completes_and_its_tokens_can_be_dropped(
    case: tuple[str, list[bytes]],
) -> None:
    word = Word()
    whole = Word()
    for piece in case[1]:
        word = word.read(piece)
        if word.pending:
            assert not word.complete(1)
            assert word.decided
        else:
            whole = word
        assert word.without_pending() == whole
        assert case[0].startswith(word.text)


@given(splits())
@CHECKED
def test_the_cap_completes_any_word_that_leaves_no_character_unfinished(
    case: tuple[str, list[bytes]],
) -> None:
    word = read(case[1])
    assert word.complete(len(case[1]))
    assert not word.has_body or word.decided


@given(st.text(st.sampled_from(" \t\n\r\u00a0\u3000\u2028\x1f\x85"), min_size=1))
@CHECKED
def test_whitespace_alone_is_no_word_until_the_cap(blanks: str) -> None:
    word = read([c.encode() for c in blanks])
    assert not word.has_body
    assert not word.decided
    assert not word.complete(len(blanks) + 1)
    assert word.complete(len(blanks))


@given(
    st.text(st.sampled_from(" \n\u3000"), max_size=3),
    st.text(st.sampled_from("ab.<é한\u0301"), min_size=1),
    st.sampled_from([" ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "\u2029"]),
    st.sampled_from(["", "x", "."]),
)
@CHECKED
def test_whitespace_after_the_run_completes_and_before_it_does_not(
    before: str, body: str, after: str, more: str
) -> None:
    assert not of(before + body).complete(CAP)
    assert of(before + body).has_body
    assert of(before + body + after).complete(CAP)
    assert of(before + body + after + more).complete(CAP)


@pytest.mark.parametrize("character", "我龘のアーไกກកကဿ々〇。、「」・〜")
def test_scripts_without_spaces_complete_at_every_character(character: str) -> None:
    assert of(character).complete(CAP)
    assert of(" a" + character).complete(CAP)
    assert not of(character + "a").complete(CAP)  # the last character decides
    first, *rest = (bytes([byte]) for byte in character.encode())
    word = Word().read(first)
    for byte in rest:
        assert not word.complete(CAP)
        word = word.read(byte)
    assert word.complete(CAP)


@pytest.mark.parametrize("character", "aßЖαعא한서🙂!?,.，\u0301\ufe0f\u200d\ufffd0_")
def test_other_characters_wait_for_what_comes_next(character: str) -> None:
    assert of(character).has_body
    assert not of(character).complete(CAP)
    assert not of("我" + character).complete(CAP)


@pytest.mark.parametrize(
    "text", [" ", "\n", "\u00a0x", "\u3000", "\u2009a", "\x1c", "\x85", "\t我"]
)
def test_starts_with_whitespace(text: str) -> None:
    assert starts_with_whitespace(text.encode())


@pytest.mark.parametrize("data", [b"", b"a ", "我 ".encode(), b"\xff ", b"\xc2", "\u200b".encode()])
def test_does_not_start_with_whitespace(data: bytes) -> None:
    assert not starts_with_whitespace(data)


@pytest.mark.parametrize("blank", "\u00a0\u3000\u2003")
def test_a_part_of_a_whitespace_character_is_not_whitespace_yet(blank: str) -> None:
    data = blank.encode()
    for length in range(1, len(data)):
        assert not starts_with_whitespace(data[:length])
        assert not starts_with_whitespace(data[length:])
    assert starts_with_whitespace(data)


@given(st.text(max_size=4))
@CHECKED
def test_starts_with_whitespace_is_isspace_of_the_first_character(text: str) -> None:
    data = text.encode("utf-8", "replace")
    assert starts_with_whitespace(data) == data.decode()[:1].isspace()


@CHECKED
@given(TEXTS)
def test_a_text_is_split_into_words_that_join_to_it(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == text
    assert all(not word[-1:].isspace() and len(word.split()) == 1 for word in words[:-1])
    assert split_words(" two  words\n") == (" two", "  words", "\n")
