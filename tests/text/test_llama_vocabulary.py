"""Texts in the vocabulary of a GGUF file, read by llama.cpp; transformers beside it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("llama_cpp", reason="needs the extra llama-cpp")
pytest.importorskip("gguf")

import corpus
from adafuse.constraints.grammar import TokenTable
from adafuse.errors import ConfigError, UnsupportedTokenizerError
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Renderer
from adafuse.text import gguf_tokens
from adafuse.text.tokenizer import TokenCodec
from chat_templates import QWEN, messages
from families import family
from gguf_vocabularies import CONTROL, NORMAL, UNUSED, USER_DEFINED, load, read, write

NAMES = ["gpt2", "llama3", "qwen2", "llama", "mistral", "gemma3"]
every_family = pytest.mark.parametrize("name", NAMES)
LINES = [
    line
    for lines in (corpus.ENGLISH, corpus.GERMAN, corpus.CODE, corpus.DATA, corpus.MARKUP,
                  corpus.SPACELESS, corpus.OTHER_SCRIPTS, corpus.SIGNS, corpus.LINES)
    for line in lines
]  # fmt: skip
ODD = [
    "<s>", "</s>", "<unk>", "<bos>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "[INST]",
    "<0x0A>", "<0xE2>", "▁", " ▁", "\n\n", "   ", "<tool_call>", "\0", "e\u0301",
    "\U0001f469\u200d\U0001f52c",
]  # fmt: skip
texts = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.sampled_from(ODD)),
    max_size=8,
).map("".join)


@functools.cache
def codec(name: str) -> TokenCodec:
    return TokenCodec(read(name), name)


@functools.cache
def of_transformers(name: str) -> TokenCodec:
    return TokenCodec(family(name)[1], name)


@every_family
@given(texts)
@example("</s> <0x0A><unk>▁")
@example("\0")
def test_any_text_is_read_exactly_and_never_as_a_control_token(name: str, text: str) -> None:
    ids = codec(name).encode(text)
    assert codec(name).join(ids) == text.encode()
    assert codec(name).special.keys().isdisjoint(ids)
    assert codec(name).encode(text) == ids
    begun = codec(name).encode_start(text)
    assert codec(name).join(begun).lstrip(b" ") == text.encode().lstrip(b" ")
    assert codec(name).special.keys().isdisjoint(begun)


@every_family
def test_ids_are_those_of_transformers(name: str) -> None:
    ours, theirs = codec(name), of_transformers(name)
    for text in [*LINES, *ODD]:
        ids = theirs.encode(text)
        if theirs.join(ids) != text.encode():  # it normalises, or takes a ▁ for a space
            continue
        assert ours.encode(text) == ids, text
        if name == "mistral" and text.startswith(" "):
            continue  # transformers puts no blank before another there
        for start in (True, False):
            begun = theirs.encode_start(text, special_tokens=start)
            assert ours.encode_start(text, special_tokens=start) == begun, text


@every_family
def test_tokens_are_those_of_transformers(name: str) -> None:
    ours, theirs = codec(name), of_transformers(name)
    count = len(family(name)[1])
    assert ours.vocabulary.size == count
    assert [*map(ours.token_bytes, range(count))] == [*map(theirs.token_bytes, range(count))]
    assert ours.special == theirs.special
    assert ours.end_ids(None) == theirs.end_ids(None)
    assert ours.whitespace_starts(count) == theirs.whitespace_starts(count)
    assert ours.text_tokens() == theirs.text_tokens()[:count]
    assert ours.token_bytes(count) == "\ufffd".encode()
    assert ours.has_ids_below(count)
    assert not ours.has_ids_below(count - 1)


def test_a_blank_goes_before_prompts_and_not_before_what_goes_on() -> None:
    blank = codec("llama")
    assert blank.text(blank.encode("fox")) == "fox"
    assert (
        blank.text(blank.encode_start("fox")) == blank.text(blank.encode_between("fox")) == " fox"
    )
    assert blank.encode_start("") == []
    assert codec("gemma3").encode_start("fox") == codec("gemma3").encode("fox")


def test_strings_that_would_grow_into_control_tokens_or_bytes_are_read_as_they_are() -> None:
    grows = {"<s": NORMAL, "<0": NORMAL, "<0x": NORMAL, "<0x0": NORMAL, "<0x0A": NORMAL}
    vocabulary = read("llama", extra=grows)
    raw = gguf_tokens.GgufTokens(vocabulary.model, "m")
    assert raw.tokenize(b"<s>") == [1]
    assert raw.tokenize(b"a<0x0A>") == [*raw.tokenize(b"a"), *raw.tokenize(b"\n")]
    reader = TokenCodec(vocabulary, "m")
    for text in ("<s>", "a<0x0A>", "<s><0x0A>" * 50 + "▁<s>"):
        ids = reader.encode(text)
        assert reader.join(ids) == text.encode()
        assert 1 not in ids


def test_endless_words_are_read() -> None:
    """std::regex, with which llama.cpp splits some vocabularies' texts, would end the process."""
    reader = TokenCodec(read("gpt2", split="deepseek-llm"), "m")
    for text in ("a" * 40_000, " " * 40_000, "日" * 40_000):
        assert reader.join(reader.encode(text)) == text.encode()


def test_types_of_the_file_tell_text_from_control_tokens() -> None:
    """llama.cpp goes by names: `</s>` is a tag of HTML to Gemma 3, and `<|channel|>` none."""
    extra = {"</s>": USER_DEFINED, "<|channel|>": CONTROL, "[PAD7]": UNUSED, "x" * 300: NORMAL}
    reader = TokenCodec(read("gemma3", extra=extra), "m")
    tag, channel, padding, long = range(reader.vocabulary.size - 4, reader.vocabulary.size)
    assert set(reader.special) == {*of_transformers("gemma3").special, channel}
    assert reader.end_ids(None) == of_transformers("gemma3").end_ids(None)
    assert reader.encode("a</s>b") == [*reader.encode("a"), tag, *reader.encode("b")]
    assert channel not in reader.encode("<|channel|>")
    assert reader.token_bytes(long) == b"x" * 300
    assert reader.token_bytes(padding) == "\ufffd".encode()
    assert reader.text_tokens()[channel : padding + 1] == [b"", b""]


def test_a_piece_that_stands_for_no_bytes_is_its_own_text() -> None:
    reader = TokenCodec(read("gpt2", extra={"日本": NORMAL}), "m")
    assert reader.token_bytes(reader.vocabulary.size - 1) == "日本".encode()


def test_without_bytes_a_vocabulary_is_lossy() -> None:
    reader = TokenCodec(read("llama", without_bytes=True), "m")
    ids = reader.encode("the fox \x07 sees")
    assert reader.text(ids) == "the fox <unk> sees"
    assert reader.loss_of("the fox \x07 sees", ids) is not None
    assert reader.loss_of("the fox sees", reader.encode("the fox sees")) is None
    with pytest.raises(UnsupportedTokenizerError, match="no byte fallback"):
        reader.text_tokens()


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("gpt2", "bert", "a WordPiece tokenizer"),
        ("llama", "plamo2", "a PLaMo-2 tokenizer"),
        ("llama", "no_vocab", "no tokenizer"),
    ],
)
def test_other_kinds_are_refused(name: str, kind: str, says: str) -> None:
    with pytest.raises(UnsupportedTokenizerError, match=f"{name!r}: its GGUF file has {says}"):
        read(name, kind=kind)


def test_a_file_without_numbers_of_its_ends_has_those_that_names_tell() -> None:
    """llama.cpp takes token 11 for the end of byte-level texts where the file names none."""
    reader = TokenCodec(read("llama3", roles=()), "m")
    ends = {reader.special[id_] for id_ in reader.end_ids(None)}
    assert ends == {"<|end_of_text|>", "<|eot_id|>"}
    assert "bos_token" not in reader.vocabulary.names


def test_a_model_loaded_without_the_overrides_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", "llama")
    with pytest.raises(ValueError, match="overrides"):
        TokenCodec(load(path, plain=True), "m")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(gguf_tokens, "import_module", missing)
    with pytest.raises(ImportError, match=r"adafuse\[llama-cpp\]"):
        load("m.gguf")


CHAT = [("system", "Be <|im_end|> brief."), ("user", "What is </s> and <tool_call>?\n▁\n")]
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks <|im_start|> up.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    },
}


@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_the_template_of_the_file_renders_as_that_of_transformers(tools: Any) -> None:
    prompt = read_prompt(messages(CHAT), tools=tools)
    ours = TokenCodec(read("qwen2", template=QWEN), "m")
    rendered = Renderer(ours, "m").render(prompt)
    assert rendered == Renderer(of_transformers("qwen2"), "m", QWEN).render(prompt)
    assert rendered.templated
    assert not Renderer(ours, "m", "").render(read_prompt(messages(CHAT))).templated
    override = "{{ messages[0].content }}{{ eos_token }}"
    ids = Renderer(ours, "m", override).render(read_prompt(messages([("user", "d ")]))).ids
    assert ours.text(ids) == "d <|im_end|>"


def test_templates_by_name() -> None:
    long = "{# " + "x" * 5000 + " #}d {{ messages[0].content }}"
    named = [{"name": "default", "template": long}, {"name": "tool_use", "template": "t"}]
    vocabulary = read("qwen2", template=named)
    assert vocabulary.chat_template == {"default": long, "tool_use": "t"}
    with pytest.raises(ConfigError, match=r"named .*, none of them 'default'"):
        Renderer(TokenCodec(read("qwen2", template=[
            {"name": "rag", "template": "r"}, {"name": "b", "template": "b"}
        ]), "m"), "m")  # fmt: skip
    assert read("qwen2").chat_template is None


@every_family
def test_a_grammar_reads_the_tokens(name: str) -> None:
    pytest.importorskip("llguidance")
    table = TokenTable(codec(name).text_tokens(), codec(name).encode)
    assert table.size == codec(name).vocabulary.size
