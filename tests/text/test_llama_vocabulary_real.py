"""The vocabularies of the demo models' GGUF files beside their prepared folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

pytest.importorskip("llama_cpp", reason="needs the extra llama-cpp")

import corpus
from adafuse.demo.models import cache_folder
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Renderer
from adafuse.text.tokenizer import TokenCodec
from chat_templates import messages
from gguf_vocabularies import load

pytestmark = pytest.mark.real

TEXTS = [
    line
    for lines in (corpus.ENGLISH, corpus.GERMAN, corpus.CODE, corpus.DATA, corpus.MARKUP,
                  corpus.SPACELESS, corpus.OTHER_SCRIPTS, corpus.SIGNS, corpus.LINES)
    for line in lines
]  # fmt: skip
NASTY = [
    "<table><tr></s>", "<0x0A>", "<bos><eos><unk>", "<|im_start|>user", "<end_of_turn>",
    "12345 67.8", "\n" * 40 + "x", "x" + " " * 31 + "y", "\t\t\tz", "\r\n\r\n", "\0a\0",
    "I'll DON'T we've", "e\u0301", "\u00a0\u3000\u200b", "\U0001f469\u200d\U0001f52c",
    "<unused0>", "<reponame>",
]  # fmt: skip


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def pair(request: pytest.FixtureRequest) -> tuple[TokenCodec, TokenCodec]:
    """A demo model's codec out of its GGUF file, and out of its folder."""
    name = request.param
    file = cache_folder() / f"{name}-gguf" / f"{name}.gguf"
    folder = cache_folder() / name
    for path in (file, folder / "tokenizer.json"):
        if not path.exists():
            pytest.skip(f"{path.name} of {name} is not prepared")
    return TokenCodec(load(file, name), name), TokenCodec(_tokenizer(folder), name)


def _tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def test_ids_of_texts_are_the_same(pair: tuple[TokenCodec, TokenCodec]) -> None:
    ours, theirs = pair
    for text in [*TEXTS, *NASTY]:
        assert ours.encode(text) == theirs.encode(text), text
        assert ours.join(ours.encode(text)) == text.encode()
        for start in (True, False):
            begun = theirs.encode_start(text, special_tokens=start)
            assert ours.encode_start(text, special_tokens=start) == begun, text
        assert ours.encode_between(text) == theirs.encode_between(text), text


def test_tokens_are_the_same(pair: tuple[TokenCodec, TokenCodec]) -> None:
    ours, theirs = pair
    count = ours.vocabulary.size
    assert [*map(ours.token_bytes, range(count))] == [*map(theirs.token_bytes, range(count))]
    assert ours.whitespace_starts(count) == theirs.whitespace_starts(count)
    # The prepared folder has two marks of images as special tokens, which the file calls text.
    marks = {id_ for id_, text in theirs.special.items() if re.fullmatch("<.*_of_image>", text)}
    assert ours.special.keys() == theirs.special.keys() - marks
    # llama.cpp ends an answer where a code model goes on to another repository.
    more = {id_ for id_, text in ours.special.items() if text == "<reponame>"}
    assert ours.end_ids(None) == theirs.end_ids(None) | more


def test_a_mark_of_spaces_is_spelt_in_bytes(pair: tuple[TokenCodec, TokenCodec]) -> None:
    """transformers reads it as a space; nothing of a text is lost here."""
    ours, _ = pair
    assert ours.text(ours.encode("a▁b ▁▁")) == "a▁b ▁▁"


def test_the_template_of_the_file_is_rendered_as_that_of_the_folder(
    pair: tuple[TokenCodec, TokenCodec],
) -> None:
    ours, theirs = pair
    assert ours.vocabulary.chat_template == theirs.vocabulary.chat_template
    chat = [
        ("system", "Be brief. <|im_end|>"),
        ("user", "What </s> <eos>\n is it? "),
    ]
    prompt = read_prompt(messages(chat))
    rendered = Renderer(ours, "m").render(prompt)
    assert rendered == Renderer(theirs, "m").render(prompt)
