"""Reading a reference: the numbers of a plain forward, the words that members agree on."""

import itertools
import math
from typing import Any

import pytest
import torch

from adafuse import ContextWindowError
from adafuse.local.member import LocalMember
from adafuse.local.reference import read_reference, split_reference
from adafuse.prompting.prompt import Prompt, read_prompt
from adafuse.text.words import Word
from corpus import LINES, SPACELESS
from families import FAMILIES, family

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is Paris?"}]


def _member(name: str, seed: int = 1) -> LocalMember:
    return LocalMember(*family(name, seed), name)


def _plain(
    member: LocalMember, prompt: Prompt, words: tuple[str, ...]
) -> tuple[list[float], list[float], list[list[int]]]:
    """NLLs of the words and of the end, and entropies, out of one forward without a cache."""
    codec, ids = member.codec, list(member.render(prompt).ids)
    with torch.no_grad():
        model = member.runner.model
        greedy = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        chat = prompt.format != "raw" and not words[0][0].isspace()
        blank = " " if chat and codec.text([greedy]).startswith(" ") else ""
        encoded = [codec.encode(word if at else blank + word) for at, word in enumerate(words)]
        logits = model(torch.tensor([[*ids, *itertools.chain(*encoded)]])).logits[0]
    rows = logits.double().log_softmax(-1)
    border = [
        id_
        for id_ in range(rows.shape[-1])
        if id_ in member.end_ids or codec.text([id_])[:1].isspace()
    ]
    place, nlls, entropies = len(ids) - 1, [], []
    for word in encoded:
        entropies.append(float(-(rows[place].exp() * rows[place]).sum()))
        total, read = 0.0, Word()
        for id_ in word:
            total += float(rows[place, id_])
            place, read = place + 1, read.read(codec.token_bytes(id_))
        if not read.complete(10**9):
            total += float(rows[place, border].logsumexp(-1))
        nlls.append(-total)
    entropies.append(float(-(rows[place].exp() * rows[place]).sum()))
    nlls.append(-float(rows[place, sorted(member.end_ids)].logsumexp(-1)))
    return nlls, entropies, encoded


@pytest.mark.parametrize("logits", [2**24, 2500])
@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_are_those_of_a_plain_forward(
    monkeypatch: pytest.MonkeyPatch, name: str, logits: int
) -> None:
    member = _member(name)
    at_once = max(logits // member.runner.vocabulary, 1)  # a few tokens
    monkeypatch.setattr(member.runner, "most_logits", at_once)
    for prompt in (read_prompt("The capital of France"), read_prompt(CHAT)):
        for text in ("Paris, of course.", "def add(a, b):\n    return a\n", *SPACELESS[:2]):
            words = split_reference(text, [member])
            found = read_reference(member, prompt, words, ends=True)
            nlls, entropies, _ = _plain(member, prompt, words)
            assert found.nlls == pytest.approx(nlls, abs=1e-3)
            assert found.entropies == pytest.approx(entropies, abs=1e-3)
            open_end = read_reference(member, prompt, words, ends=False)
            assert open_end.nlls == pytest.approx(nlls[:-1], abs=1e-3)
            assert len(open_end.entropies) == len(words)


@pytest.mark.parametrize("name", ["gemma3", "gpt2"])
def test_tokens_that_begin_with_a_stop_count_to_the_end(name: str) -> None:
    member = _member(name)
    prompt = read_prompt("Where is it?")
    context = [*member.render(prompt).ids, *member.codec.encode("Here")]
    with torch.no_grad():
        row = member.runner.model(torch.tensor([context])).logits[0, -1].double().log_softmax(-1)
    begun = {id_ for id_ in range(len(row)) if member.codec.text([id_])[:1] == "\n"}
    assert begun
    assert not begun & member.end_ids
    alone, both = (
        read_reference(member, prompt, ("Here",), ends=True, stops=stops).nlls
        for stops in ((), ("\n", "\n\n"))
    )
    assert both[0] == alone[0]
    expected = float(row[sorted(member.end_ids | begun)].logsumexp(-1))
    assert both[1] == pytest.approx(-expected, abs=1e-3)
    assert both[1] < alone[1]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_is_rated_over_what_it_says(name: str) -> None:
    member = _member(name)
    for given, said in (
        ("The capital of France is", ["The capital of France is"]),
        (CHAT, ["Be brief.", "Where is Paris?"]),
    ):
        prompt: Any = read_prompt(given)  # type: ignore[arg-type]
        ids = list(member.render(prompt).ids)
        with torch.no_grad():
            rows = member.runner.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        whole = member.codec.text(ids)
        logprobs = [None, *(float(row[id_]) for row, id_ in zip(rows, ids[1:], strict=False))]
        expected, characters = 0.0, 0
        for text in said:
            begin = whole.index(text)
            end = begin + len(text)
            places, at = [], 0
            for place, id_ in enumerate(ids):
                size = len(member.codec.text([id_]))
                if at + size > begin and at < end:
                    places.append(place)
                at += size
            rated = [logprobs[place] for place in places]
            known = [one for one in rated if one is not None]
            expected -= sum(known) / len(known) * len(rated)
            characters += len(text)
        found = read_reference(member, prompt, ("Paris",), ends=False)
        assert found.prompt_nll == pytest.approx(expected, abs=1e-3)
        assert found.prompt_characters == characters


def test_words_of_a_toy_vocabulary_sum_to_1() -> None:
    member = _member("gpt2")
    ids = [member.codec.encode(text)[0] for text in ("Q", "Z", " ")]
    (q, z, blank), end = ids, next(iter(member.end_ids))
    prompt = read_prompt("So")
    begin = len(member.render(prompt).ids)
    plain = member.runner.forward

    def forward(request: Any) -> torch.Tensor:
        """No word has more than two blanks or four tokens, and nothing ends behind a blank."""
        rows = plain(request)
        kept = torch.full_like(rows, -math.inf)
        for at, (token, position) in enumerate(zip(request.tokens, request.positions, strict=True)):
            depth = position - begin + 1
            allowed = [q, z, blank, end]
            if depth > 0 and token == blank:
                allowed = [q, z, blank] if depth < 2 else [q, z]
            elif depth >= 4:
                allowed = [blank, end]
            kept[at, allowed] = rows[at, allowed]
        return kept

    member.runner.forward = forward  # type: ignore[method-assign]
    probabilities = [math.exp(-read_reference(member, prompt, (), ends=True).nlls[0])]
    for blanks in range(3):
        for size in range(1, 5 - blanks):
            for letters in itertools.product("QZ", repeat=size):
                word = " " * blanks + "".join(letters)
                assert len(member.codec.encode(word)) == len(word)
                reading = read_reference(member, prompt, (word,), ends=False)
                probabilities.append(math.exp(-reading.nlls[0]))
    assert len(probabilities) == 1 + 30 + 14 + 6
    assert max(probabilities) < 0.95
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-5)


def test_words_of_any_text_join_to_it() -> None:
    members = [_member(name) for name in FAMILIES]
    for text in (*LINES, "  two\n\n\tblanks ", " ", "x", "你好"):
        words = split_reference(text, members)
        assert "".join(words) == text
        assert all(words)


@pytest.mark.parametrize("text", SPACELESS[:5])
def test_unspaced_scripts_are_parted_where_all_members_have_a_border(text: str) -> None:
    members = [_member("llama3"), _member("qwen2")]
    words = split_reference(text, members)
    assert len(words) > len(text.split())
    for member in members:
        ids = member.codec.encode(text)
        borders = {len(member.codec.text(ids[:count])) for count in range(len(ids) + 1)}
        parts = set(itertools.accumulate(map(len, words)))
        assert parts <= borders
    alone = [split_reference(text, [member]) for member in members]
    assert len(words) <= min(map(len, alone))
    # One that cannot hold the text has no say.
    assert split_reference(text, [*members, _member("t5")]) == words


def test_spaced_scripts_are_never_parted() -> None:
    assert split_reference(" Straße über\n안녕하세요", [_member("gpt2")]) == (
        " Straße", " über", "\n안녕하세요",
    )  # fmt: skip
    assert split_reference("GPT是", [_member("gpt2")]) == ("GPT是",)


def test_no_block_of_logits_is_larger_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    member, sizes = _member("gemma3"), []
    plain = member.runner.forward

    def forward(request: Any) -> torch.Tensor:
        rows = plain(request)
        sizes.append(rows.numel())
        return rows

    member.runner.forward = forward  # type: ignore[method-assign]
    monkeypatch.setattr(member.runner, "most_logits", 20_000 // member.runner.vocabulary)
    words = split_reference(" the sea" * 60, [member])
    read_reference(member, read_prompt("The river runs to " * 10), words, ends=True)
    assert 10_000 < max(sizes) <= 20_000


def test_what_does_not_fit_is_refused_by_name() -> None:
    member = _member("gpt2")
    prompt = read_prompt("The sea is cold")
    size = len(member.codec.encode(" the"))
    room = 512 - len(member.render(prompt).ids)
    fits = (" the",) * (room // size)
    assert len(read_reference(member, prompt, fits, ends=True).nlls) == len(fits) + 1
    for asked, words in ((prompt, (*fits, " the")), (read_prompt("the sea " * 600), ("x",))):
        with pytest.raises(ContextWindowError, match=r"^row 7: .*'gpt2', whose.*512; shorten"):
            read_reference(member, asked, words, ends=True, where="row 7")


def test_broken_logits_are_told_as_they_are() -> None:
    member = _member("llama3")
    plain = member.runner.forward
    member.runner.forward = lambda request: plain(request) * math.nan  # type: ignore[method-assign]
    reading = read_reference(member, read_prompt("The"), (" sea",), ends=True)
    assert all(map(math.isnan, reading.nlls))
