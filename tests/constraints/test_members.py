"""Who may write a constrained answer: lossy members, members without ends, scripts, broken ones."""

import json
import unicodedata
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from adafuse import (
    DecodingError,
    Ensemble,
    IncompleteAnswerError,
    NonFiniteError,
    UnsupportedTokenizerError,
)
from adafuse.constraints.completion import CompletionSearch
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember
from constrained_cases import NAMES, PERSON, PROMPT, ensemble, person
from families import FAMILIES, Pair, family

RED = {"choices": ["red apple", "red pear", "blue"]}


@pytest.mark.parametrize("names", [("qwen2",), ("qwen2", "llama"), ("llama", "qwen2")])
def test_a_member_that_normalises_can_write_what_it_would_write_otherwise(
    names: tuple[str, ...],
) -> None:
    """And it chooses by itself: what closes the answer is not all that is left."""
    choices = ["e\u0301tat", "e\u0301cole", "e\u0301l\u0300", "\u212bngstr\u00f6m", "\uf900x"]
    members = ensemble(*names)
    chosen = set()
    for prompt in (PROMPT, "a", "The", "{", "é", "1 2 3"):
        answer = members.generate(
            prompt, choices=choices, branches=5, margin_threshold=1.0, rule="paper"
        )
        assert answer.text in choices
        assert not answer.rounds[0].forced
        chosen.add(answer.text)
    assert len(chosen) > 1
    name = "e\u0301tat \u212b"
    assert unicodedata.normalize("NFC", name) != name
    schema = {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]}
    answer = members.generate(PROMPT, json_schema=schema)
    assert list(json.loads(answer.text)) == [name]
    lossy = next(usage for member, usage in answer.usage.items() if "qwen2" in member)
    assert lossy.losses
    assert all(loss.text in answer.text and loss.reads != loss.text for loss in lossy.losses)


@pytest.mark.parametrize("given", [RED, {"json_schema": PERSON}], ids=["choices", "schema"])
def test_a_member_that_cannot_write_every_text_is_refused_by_name(given: dict[str, Any]) -> None:
    members = Ensemble([LocalMember(*family("llama", 1), "good"), own("t5")])
    forwards = []
    for member in members.members:
        model: Any = member.runner.model  # type: ignore[attr-defined]
        model.register_forward_pre_hook(lambda *args: forwards.append(args))
    with pytest.raises(UnsupportedTokenizerError, match=r"'t5'.*no byte fallback.*leave it"):
        members.generate(PROMPT, **given)
    assert forwards == []
    assert members.generate(PROMPT, max_new_tokens=2).text  # it may take part in free ones


def own(name: str) -> LocalMember:
    """A member with a model of its own, to which hooks may be added."""
    return LocalMember(*FAMILIES[name](1), name)


def endless(name: str) -> Pair:
    """A model without any end token."""
    model, tokenizer = FAMILIES[name](1)
    generation: Any = model.generation_config
    generation.eos_token_id = None
    backend: Any = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    written = backend.to_str().replace("</s>", "<end>").replace("<|endoftext|>", "<end>")
    return model, PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(written))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_member_without_end_tokens_ends_where_the_grammar_does(name: str) -> None:
    member = LocalMember(*endless(name), name)
    assert not member.end_ids
    members = Ensemble([member])
    assert members.generate(PROMPT, **RED).text in RED["choices"]
    person(members.generate(PROMPT, json_schema=PERSON).text)
    answer = members.generate(PROMPT, regex="[a-z]{1,4}", margin_threshold=0.0)
    assert (len(answer.text), answer.finish_reason) == (4, "stop")  # it never ends sooner
    both = Ensemble([LocalMember(*family("qwen2", 1), "ends"), member])
    person(both.generate(PROMPT, json_schema=PERSON).text)


@pytest.mark.parametrize("confident", [True, False])
def test_a_member_that_knows_no_grammar_is_kept_to_it(confident: bool) -> None:
    rambling = ScriptedMember("red apples are what I like", "script", confident=confident)
    answer = Ensemble([rambling]).generate(PROMPT, **RED)
    assert (answer.text, answer.finish_reason) == ("red apple", "stop")
    assert answer.rounds[0].forced is False
    other = ScriptedMember("I like apples", "script", confident=confident)
    answer = Ensemble([other]).generate(PROMPT, **RED)
    assert answer.text in RED["choices"]  # of which nothing was drafted
    assert [one.forced for one in answer.rounds] == [True]
    mixed = Ensemble([other, LocalMember(*family("llama", 1), "llama")])
    answer = mixed.generate(PROMPT, json_schema=PERSON)
    person(answer.text)
    assert {one.member for one in answer.rounds} <= {"", "llama"}


def test_a_member_that_stops_where_the_answer_is_whole_is_heard() -> None:
    member = ScriptedMember("no", "script")
    answer = Ensemble([member]).generate(PROMPT, regex="(yes|no)(, because .+)?")
    assert (answer.text, answer.finish_reason) == ("no", "stop")


def test_nothing_that_goes_on_and_no_way_to_close_is_an_error_with_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CompletionSearch, "find", lambda *args: None)
    members = Ensemble([ScriptedMember("a\n\n", "first"), ScriptedMember("\n", "second")])
    with pytest.raises(DecodingError, match=r"round 2: nothing .*\(first, second\)") as caught:
        members.generate(PROMPT, regex="a[^\n]+b")
    assert not isinstance(caught.value, IncompleteAnswerError)
    assert len(str(caught.value).splitlines()) == 1


def broken(name: str) -> LocalMember:
    """A member whose logits are NaN once its answer has begun."""
    model, tokenizer = FAMILIES[name](1)
    head: Any = model.get_output_embeddings()
    member = LocalMember(model, tokenizer, name)
    with torch.no_grad():
        head.weight.fill_(float("nan"))
    return member


def test_members_without_finite_logits_are_left_out_or_named() -> None:
    good = LocalMember(*family("llama", 1), "good")
    answer = Ensemble([broken("gpt2"), good]).generate(PROMPT, json_schema=PERSON)
    person(answer.text)
    assert {one.member for one in answer.rounds} == {"", "good"}
    drafted = [one for one in answer.rounds if not one.forced]
    assert all(one.left_out == ("gpt2",) for one in drafted)
    assert answer.usage["gpt2"].rounds_left_out == len(drafted)
    alone = Ensemble([broken("gpt2"), broken("llama")])
    with pytest.raises(NonFiniteError, match=r"round 2: .*\(gpt2, llama\)"):
        alone.generate(PROMPT, json_schema=PERSON)  # the first is forced


@pytest.mark.parametrize("name", NAMES)
def test_special_tokens_are_never_text_of_a_sentence(name: str) -> None:
    """Each is what an answer must be here, and is written in plain tokens."""
    member = LocalMember(*family(name, 1), name)
    special = sorted(member.codec.special.values())
    assert special
    answer = Ensemble([member]).generate(PROMPT, choices=[f"{one}!" for one in special])
    assert answer.text[:-1] in special
    assert not set(answer.usage[name].token_ids) & set(member.codec.special)
