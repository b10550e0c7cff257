"""Copies of tokenizers that share the vocabulary, and flags of all its ids at once."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from adafuse.text.pipeline import plain_copy
from adafuse.text.tokenizer import END_STRINGS, TokenCodec
from corpus import LINES
from families import FAMILIES, family

PIECES = st.sampled_from([*LINES, *END_STRINGS, "<s>", " ", "\n\t", "\u00a0", "▁", "<0x0A>"])


@given(st.lists(st.one_of(PIECES, st.text(st.characters(codec="utf-8"), max_size=4))))
def test_copies_read_as_deep_copies_of_the_whole_tokenizer(pieces: list[str]) -> None:
    text = "".join(pieces)
    for name in FAMILIES:
        backend: Any = family(name)[1].backend_tokenizer
        read = plain_copy(backend, {})
        deep = copy.deepcopy(backend)
        deep.encode_special_tokens = True
        for flag in (True, False):
            expected = deep.encode(text, add_special_tokens=flag).ids
            assert read.encode(text, add_special_tokens=flag).ids == expected
        assert read.get_added_tokens_decoder() == backend.get_added_tokens_decoder()


def test_a_copy_keeps_ids_of_added_tokens_that_are_not_in_a_row() -> None:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    backend.add_special_tokens(["<x>", "<y>"])
    parts = json.loads(backend.to_str())
    parts["added_tokens"][1]["id"] = 9
    apart = Tokenizer.from_str(json.dumps(parts))
    assert plain_copy(apart, {}).get_added_tokens_decoder() == apart.get_added_tokens_decoder()


@pytest.mark.parametrize("name", FAMILIES)
def test_whitespace_of_all_ids_is_that_of_each(name: str) -> None:
    codec = TokenCodec(family(name)[1], name)
    count = family(name)[0].config.get_text_config().vocab_size + 3
    flags = codec.whitespace_starts(count)
    assert flags == [codec.text([id_])[:1].isspace() for id_ in range(count)]
    assert any(flags)
    assert not all(flags)
