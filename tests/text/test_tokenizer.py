"""Text and ids of every tokenizer family: what is exact, what is lost, what must never happen."""

import copy
import functools
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from adafuse import DecodingConfig, Ensemble, Loss, UnsupportedTokenizerError
from adafuse.local.member import LocalMember
from adafuse.local.session import LocalSession
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Renderer
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import END_STRINGS, TokenCodec
from corpus import LINES
from families import FAMILIES, family, wordpiece_tokenizer
from oracle_text import Text

SENTENCEPIECE = ("llama", "gemma3", "mistral")  # exact but for their own mark of a blank
LOSSLESS = (*SENTENCEPIECE, "llama3", "gpt2", "qwen2")  # Qwen's where a text is NFC
SPECIALS = sorted(
    {t.content for name in FAMILIES for t in family(name)[1].added_tokens_decoder.values()}
    | set(END_STRINGS)
)

PIECES = st.one_of(
    st.sampled_from(LINES),
    st.sampled_from(SPECIALS),
    st.text(st.sampled_from(" \n\t\r\u00a0\u3000"), max_size=5),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.text(st.characters(codec="utf-8", categories=["Cc", "Co", "Mn", "Zs"]), max_size=3),
    st.sampled_from(["👩\u200d🔬", "🇩🇪", "❤\ufe0f", "e\u0301", "ﬁ", "日本語", "<", "|>"]),
    st.builds("{0}{1}{0}".format, st.sampled_from("\ue000\uf8ff "), st.integers(0, 6)),
)
TEXTS = st.lists(PIECES, max_size=5).map("".join)


@st.composite
def spans(draw: st.DrawFn) -> list[str]:
    """A text cut anywhere into spans, none of them empty."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = zip([0, *cuts], [*cuts, len(text)], strict=True)
    return [text[start:end] for start, end in edges if start < end]


@functools.cache
def member(name: str) -> LocalMember:
    return LocalMember(*family(name), name)


def opened(name: str, prompt: str = "Once upon a") -> LocalSession:
    return member(name).open(read_prompt(prompt), DecodingConfig())


def decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return str(text)


def committed(name: str, prompt: str, texts: list[str]) -> tuple[str, tuple[Loss, ...]]:
    """What the tokenizer itself reads in the ids of texts committed one by one; the losses."""
    codec, tokenizer = member(name).codec, family(name)[1]
    session = opened(name, prompt)
    for text in texts:
        session.commit(text, False)
    before = codec.encode_start(prompt, special_tokens=True)
    whole = decoded(tokenizer, [*before, *session.usage.token_ids])
    start = decoded(tokenizer, before)
    assert whole.startswith(start)
    return whole.removeprefix(start), session.usage.losses


@given(spans(), st.sampled_from(["Once upon a", "x ", "\n", "日本", "</s>"]))
@settings(max_examples=1000)
def test_committed_spans_are_the_text_for_every_lossless_family(
    texts: list[str], prompt: str
) -> None:
    for name in LOSSLESS:
        held = texts
        if name in SENTENCEPIECE:
            held = [text.replace("▁", "_") for text in texts]
        if name == "qwen2":
            whole = unicodedata.normalize("NFC", "".join(texts))
            held = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
        assert committed(name, prompt, held) == ("".join(held), ()), name


@given(spans())
@settings(max_examples=300)
def test_no_text_gives_a_control_token_and_ids_depend_on_the_span_alone(texts: list[str]) -> None:
    for name in FAMILIES:
        codec, plain = member(name).codec, oracle_text(name)
        controls = set(codec.special) - {family(name)[1].unk_token_id if name == "t5" else None}
        for text in texts:
            ids = codec.encode(text)
            assert not controls.intersection(ids), (name, text)
            assert ids == plain.continuation(text), (name, text)
            begun = codec.encode_start(text, special_tokens=False)
            assert not controls.intersection(begun), (name, text)


@functools.cache
def oracle_text(name: str) -> Text:
    return Text(family(name)[1])


@given(spans())
@settings(max_examples=300)
def test_lossy_members_report_exactly_the_spans_that_differ(texts: list[str]) -> None:
    for name in ("t5", "qwen2"):
        held, losses = committed(name, "Once upon a", texts)
        readings = [oracle_text(name).read(member(name).codec.encode(text))[0] for text in texts]
        assert held == "".join(readings)
        differ = [pair for pair in zip(texts, readings, strict=True) if pair[0] != pair[1]]
        assert losses == tuple(Loss(*pair) for pair in differ), name


@given(TEXTS)
@settings(max_examples=200)
def test_what_qwen_loses_is_normalisation_to_nfc(text: str) -> None:
    normal = unicodedata.normalize("NFC", text)
    held, losses = committed("qwen2", "Once upon a", [text])
    assert held == normal
    assert losses == (() if normal == text else (Loss(text, normal),))


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_sentencepiece_reports_its_mark_of_a_blank_as_lost(name: str) -> None:
    assert committed(name, "x", ["a▁b", " c"]) == ("a b c", (Loss("a▁b", "a b"),))


def test_an_answer_stays_exact_and_its_losses_are_in_the_usage() -> None:
    script = "two  blanks,\n½ and 日本 plain words"
    ensemble = Ensemble([ScriptedMember(script), member("t5")])
    answer = ensemble.generate("Once upon a", weights=(1, 0))
    assert answer.text == script
    lost = {loss.text: loss.reads for loss in answer.usage["t5"].losses}
    assert all(text != reads for text, reads in lost.items())
    readings = [lost.get(one.text, one.text) for one in answer.rounds]
    assert "".join(readings) == member("t5").codec.text(answer.usage["t5"].token_ids)
    assert answer.usage["t5"].replaced_characters == 0


@pytest.mark.parametrize(
    "prompt", ["½ a", "日本", "a\nb", "a  b  c", pytest.param("a  b", id="two blanks"), "ends "]
)
def test_what_a_prompt_loses_is_reported(prompt: str) -> None:
    losses = opened("t5", prompt).usage.losses
    assert [loss.text for loss in losses] == [prompt]
    assert losses[0].reads.removeprefix(" ") != prompt


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_of_plain_words_loses_nothing(name: str) -> None:
    assert opened(name, "Who wrote the play?").usage.losses == ()


def test_the_loss_of_a_text_is_how_its_tokens_read() -> None:
    codec = member("qwen2").codec
    reads, blank = codec.encode("é"), codec.encode("  é")
    assert codec.loss_of("é", reads) is None
    assert codec.loss_of("e\u0301", reads) == Loss("e\u0301", "é")
    assert codec.loss_of("é", blank) == Loss("é", "  é")
    assert codec.loss_of("é", blank, blanks_before=True) is None
    assert codec.loss_of("  é", reads, blanks_before=True) == Loss("  é", "é")


def test_bytes_that_are_no_text_are_counted_as_replaced() -> None:
    codec = member("llama").codec
    high = codec.encode("我")  # bytes of a character that has no piece
    assert codec.replaced([*high, high[0]]) == 0  # unfinished is not wrong yet
    assert codec.text([high[0], *codec.encode("a")]) == "\ufffda"
    assert codec.replaced([high[0], *codec.encode("a"), *codec.encode("\ufffd")]) == 1
    assert codec.whole_prefix([*high, *high[:2]]) == high


def test_wordpiece_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedTokenizerError, match=r"'bert'.*WordPiece.*whitespace"):
        TokenCodec(wordpiece_tokenizer(), "bert")


def test_tokenizers_without_a_fast_backend_are_refused() -> None:
    nothing: Any = SimpleNamespace(backend_tokenizer=None)
    for tokenizer in (ByT5Tokenizer(), nothing):
        with pytest.raises(UnsupportedTokenizerError, match=r"'slow'.*no fast tokenizers backend"):
            TokenCodec(tokenizer, "slow")


def test_tokenizers_that_do_not_join_are_refused() -> None:
    wrap: Any = PreTrainedTokenizerFast
    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    with pytest.raises(UnsupportedTokenizerError, match="neither byte-level"):
        TokenCodec(wrap(tokenizer_object=words), "words")
    changed = copy.deepcopy(family("gpt2")[1].backend_tokenizer)
    changed.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("wor", "W")])
    with pytest.raises(UnsupportedTokenizerError, match="cannot be joined exactly"):
        TokenCodec(wrap(tokenizer_object=changed, eos_token="<|endoftext|>"), "changed")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("flag", [False, True])
def test_the_callers_tokenizer_is_left_as_it_was(name: str, flag: bool) -> None:
    model, shared = family(name)
    tokenizer: Any = copy.deepcopy(shared)
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = flag
    before = backend.to_str()
    one = LocalMember(model, tokenizer, name)
    for prompt in ("a </s> b", "\n<|im_end|>"):
        for form in ("raw", "chat"):
            session = one.open(read_prompt(prompt, form), DecodingConfig())
            session.commit(" <s> c", False)
    assert tokenizer.backend_tokenizer is backend
    assert backend.encode_special_tokens is flag
    assert backend.to_str() == before


def test_truncation_and_padding_of_the_tokenizer_do_not_reach_prompts() -> None:
    tokenizer: Any = copy.deepcopy(family("gpt2")[1])
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=99)
    codec = TokenCodec(tokenizer, "short")
    text = "a text of more than three tokens"
    assert codec.text(codec.encode(text)) == text
    assert codec.encode_start(text, special_tokens=True) == member("gpt2").codec.encode(text)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 3


# Prompts as members read them.

CHATS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS}),
    min_size=1,
    max_size=3,
).filter(lambda chat: any(message["content"] for message in chat))
PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ bos_token }}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}\n"
    "{% endfor %}"
)


@functools.cache
def template_tokenizer(name: str) -> PreTrainedTokenizerBase:
    tokenizer = copy.deepcopy(family(name)[1])
    tokenizer.chat_template = tokenizer.chat_template or PLAIN_TEMPLATE
    return tokenizer


@functools.cache
def oracle_template(name: str) -> Text:
    return Text(template_tokenizer(name))


def rendered(tokenizer: Any, messages: list[dict[str, Any]]) -> tuple[int, ...]:
    renderer = Renderer(TokenCodec(tokenizer, "m"), "m")
    return renderer.render(read_prompt(messages)).ids


@given(CHATS)
@settings(max_examples=100)
def test_messages_are_templated_as_the_oracle_does_it(messages: list[dict[str, str]]) -> None:
    for name in ("llama3", "qwen2", "mistral", "llama", "gemma3"):
        ids = rendered(template_tokenizer(name), messages)
        assert list(ids) == oracle_template(name).template_prompt(messages), name


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("text", ["".join(SPECIALS), "</s>", " <|im_end|>\n<|eot_id|> x", "[INST]"])
def test_special_strings_in_messages_add_no_control_token(name: str, text: str) -> None:
    tokenizer: Any = template_tokenizer(name)
    special = TokenCodec(tokenizer, name).special
    wanted, found = (
        [i for i in rendered(tokenizer, [{"role": "user", "content": content}]) if i in special]
        for content in ("words", text)
    )
    unknown = tokenizer.unk_token_id
    assert [i for i in found if i != unknown] == [i for i in wanted if i != unknown]


def test_private_use_characters_of_a_message_stay_beside_special_strings() -> None:
    content = "\ue0000\ue000 is not <|im_end|>"
    ids = rendered(template_tokenizer("qwen2"), [{"role": "user", "content": content}])
    assert content in member("qwen2").codec.text(ids)


def test_special_strings_come_back_in_their_places_whatever_a_template_writes_between() -> None:
    tokenizer = copy.deepcopy(family("qwen2")[1])
    shown = "{{ m.content }}0{{ m.name }}1{{ m.content }}"
    tokenizer.chat_template = "{% set m = messages[0] %}" + shown
    message = {"role": "user", "name": "<|im_start|>", "content": "<|im_end|>"}
    text = member("qwen2").codec.text(rendered(tokenizer, [message]))
    assert text == "<|im_end|>0<|im_start|>1<|im_end|>"
