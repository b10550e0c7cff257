"""What the oracle itself must get right before anything is compared with it."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from corpus import LINES
from families import FAMILIES, family
from oracle import OracleAnswer, OracleMember, run
from oracle_text import Text

torch.set_num_threads(1)

LOSSLESS = ("llama", "llama3", "gpt2", "gemma3", "mistral")


def member(name: str, seed: int = 0, label: str = "", **config: Any) -> OracleMember:
    return OracleMember(label or f"{name}-{seed}", *family(name, seed, **config))


def check(answer: OracleAnswer) -> None:
    """What holds for every answer."""
    assert "".join(done.text for done in answer.rounds) == answer.text
    assert "".join(word for done in answer.rounds for word in done.words) == answer.text
    for done in answer.rounds:
        assert all(done.words)
        assert len(set(done.candidates)) == len(done.candidates)
        assert done.drafter in {names[0] for names in done.drafters}
        assert (done.scores[0] is None) == (len(done.candidates) == 1)
    assert answer.finish_reason in {"stop", "length", "stop_string"}


class Scripted:
    """A model that says what a table holds for the answer's ids so far, and else its end."""

    def __init__(self, table: dict[str, dict[str, float]], window: int = 99) -> None:
        self.tokenizer: Any = family("gpt2")[1]
        self.table = {self.ids(said): after for said, after in table.items()}
        config = SimpleNamespace(max_position_embeddings=window)
        self.config = SimpleNamespace(get_text_config=lambda: config)
        self.generation_config = SimpleNamespace(eos_token_id=420)

    def ids(self, tokens: str) -> tuple[int, ...]:
        """Ids of pieces, which hold no blanks: those between them separate them."""
        vocab = self.tokenizer.get_vocab()
        return tuple(vocab[piece] for piece in tokens.split())

    def __call__(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        said = tuple(input_ids[0].tolist()[1:])  # after a prompt of one token
        logits = torch.full((1, len(said) + 1, 421), -30.0)
        for place in range(len(said) + 1):
            for piece, chance in self.table.get(said[:place], {"<|endoftext|>": 1.0}).items():
                number = self.ids(piece)[0]
                logits[0, place, number] = math.log(chance) if chance else math.nan
        return SimpleNamespace(logits=logits)


def scripted(
    table: dict[str, dict[str, float]], name: str = "scripted", window: int = 99
) -> OracleMember:
    model: Any = Scripted(table, window)
    return OracleMember(name, model, model.tokenizer)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_come_back_from_a_folder(name: str, tmp_path: Any) -> None:
    model, tokenizer = family(name, 1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer_again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.generation_config.eos_token_id == model.generation_config.eos_token_id
    for line in LINES:
        ids = tokenizer(line)["input_ids"]
        assert tokenizer_again(line)["input_ids"] == ids
        assert tokenizer_again.decode(ids) == tokenizer.decode(ids)
    batch = torch.tensor([tokenizer(LINES[0])["input_ids"]])
    with torch.no_grad():
        assert torch.equal(model(batch).logits, again(batch).logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_token_bytes_are_the_text(name: str) -> None:
    text = Text(family(name)[1])
    for line in LINES:
        if name in LOSSLESS:
            assert text.read(text.continuation(line)) == (line, False)
            assert text.read(text.continuation(" " + line)) == (" " + line, False)
    for string in text.private:
        special = family(name)[1].convert_tokens_to_ids(string)
        assert special not in text.continuation(f"a{string} b")
        assert special not in text.raw_prompt(f"a{string} b")[1:]


def test_prompts_begin_with_bos_and_do_not_end() -> None:
    for name, first in {"llama": 1, "gemma3": 2, "mistral": 1}.items():
        assert Text(family(name)[1]).raw_prompt("a word")[0] == first
    assert 1 not in Text(family("t5")[1]).raw_prompt("a word")


@pytest.mark.parametrize("name", ["llama3", "qwen2", "mistral"])
def test_templates_are_tokenised_once_and_message_text_stays_plain(name: str) -> None:
    tokenizer: Any = family(name)[1]
    text = Text(tokenizer)
    clean = [{"role": "user", "content": "What is  x < 5?\n"}]
    whole = tokenizer.apply_chat_template(clean, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert text.template_prompt(clean) == ids
    evil = [{"role": "user", "content": f"a{''.join(text.private)}b"}]
    specials = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    count = sum(token in specials for token in ids)
    assert sum(token in specials for token in text.template_prompt(evil)) == count
    assert evil[0]["content"] in text.read(text.template_prompt(evil))[0]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("copies", [1, 2])
def test_one_member_without_branches_is_greedy_generate(name: str, copies: int) -> None:
    model, tokenizer = family(name, copies)
    text = Text(tokenizer)
    generating: Any = model
    for line in ("The capital of", "中国的首都"):
        ids = text.raw_prompt(line)
        ends = sorted(text.end_ids(model.generation_config.eos_token_id))
        wanted = generating.generate(
            torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=ends
        )
        new = wanted[0, len(ids) :].tolist()
        new = new[:-1] if new[-1] in ends else new
        group = [member(name, copies, f"copy {number}") for number in range(copies)]
        answer = run(group, line, branches=1, max_new_tokens=20)
        check(answer)
        first, *others = answer.token_ids.values()
        assert list(first) == text.whole(new)
        for other in others:  # a cut is encoded anew by everyone but the first
            assert text.read(other)[0] == answer.text or answer.finish_reason == "stop"
            assert other == first or answer.finish_reason == "length"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt_format": "auto"},
        {"prompt_format": "chat", "temperature": 0.3, "seed": 5},
        {"repetition_penalty": 1.3, "max_words": 1, "max_word_tokens": 3},
        {"stop": ("e", " t"), "margin_threshold": 0.3, "branches": 2},
    ],
)
@pytest.mark.parametrize("names", [("llama", "qwen2"), ("mistral", "t5", "gemma3")])
def test_mixtures(names: tuple[str, ...], options: dict[str, Any]) -> None:
    group = [member(name, 1) for name in names]
    answer = run(group, "What is the capital?", max_new_tokens=8, **options)
    check(answer)
    if "seed" in options:
        assert answer == run(group, "What is the capital?", max_new_tokens=8, **options)
    assert len(answer.token_ids[group[0].name]) <= 8
    if answer.finish_reason == "stop_string":
        return  # the ids go on where the text was cut
    for one in group:
        text = Text(one.tokenizer)
        if one.name.split("-")[0] in LOSSLESS:
            said = text.read(answer.token_ids[one.name])[0]
            templated = "prompt_format" in options
            assert (said.lstrip(" ") if templated else said) == answer.text


@pytest.mark.parametrize("window", [6, 9, 13])
def test_small_windows(window: int) -> None:
    group = [member("llama", 2), member("gpt2", 1, max_position_embeddings=window)]
    answer = run(group, "fox", max_new_tokens=50)
    check(answer)
    prompt = Text(group[1].tokenizer).raw_prompt("fox")
    assert len(prompt) + len(answer.token_ids["gpt2-1"]) <= window
    with pytest.raises(ValueError, match="gpt2-1"):
        run(group, "the quick brown fox jumps over the lazy dog", max_new_tokens=50)


def test_words_and_the_end() -> None:
    table = {
        "": {"Ġthe": 0.9, "a": 0.1},
        "Ġthe": {"y": 0.9, "a": 0.1},  # no blank yet: the word goes on
        "Ġthe y": {"Ġis": 0.5, "!": 0.4, "<|endoftext|>": 0.1},
        "Ġthe y !": {"Ġ": 1.0},
    }
    answer = run([scripted(table), scripted({}, "mute")], "a", rule="paper")
    wanted = ((" they is", False), (" they!", False), (" they", True), ("", True))
    assert answer.rounds[0].candidates == wanted
    assert answer.rounds[0].gap == pytest.approx(0.1)  # the first decision's, 0.8 against 0.7


def test_an_end_inside_a_character_drops_it() -> None:
    answer = run([scripted({"": {"a": 1.0}, "a": {"æ": 1.0}, "a æ": {"Ī": 1.0}})], "a")
    assert (answer.text, answer.finish_reason) == ("a", "stop")
    assert len(answer.token_ids["scripted"]) == 1
    whole = {"": {"æ": 1.0}, "æ": {"Ī": 1.0}, "æ Ī": {"ĳ": 1.0}}
    capped = run([scripted(whole)], "a", max_word_tokens=1)  # the cap waits for the character
    assert capped.text == "我"
    assert run([scripted(whole)], "a", max_new_tokens=2).text == ""


def test_a_run_of_blanks_is_capped_and_may_end_the_answer() -> None:
    table = {"": {"Ġ": 1.0}, "Ġ": {"Ġ": 1.0}, "Ġ Ġ": {"Ġ": 1.0}}
    assert run([scripted(table)], "a", rule="paper", max_word_tokens=2).rounds[0].words == (
        "  ",
        " ",
    )
    assert run([scripted(table)], "a").rounds[0].candidates == (("   ", True),)


def test_stops_cut_at_the_first_completed_and_across_rounds() -> None:
    said = "x\n\nUser:"
    table = {" ".join(said[:n]).replace("\n", "Ċ"): {"Ċ" if c == "\n" else c: 1.0}
             for n, c in enumerate(said)}  # fmt: skip
    fallback = run([scripted(table)], "a", prompt_format="raw", stop=("\n\nUser:", "User:"))
    assert (fallback.text, fallback.finish_reason) == ("x", "stop_string")
    short = run([scripted(table)], "a", max_word_tokens=1, max_words=1, stop=("\nUs",))
    assert [done.text for done in short.rounds] == ["x", "\n", "", "", ""]


def test_members_with_nan_are_left_out() -> None:
    good = {"": {"a": 0.5, "b": 0.4}}
    answer = run([scripted({"": {"a": 0.0}}, "broken"), scripted(good, "good")], "a", branches=2)
    first = answer.rounds[0]
    assert first.candidates[:2] == (("a", False), ("b", False))
    assert all(row[0] is None and row[1] is not None for row in first.member_scores)
    with pytest.raises(ArithmeticError, match="broken"):
        run([scripted({"": {"a": 0.0}}, "broken")], "a")
