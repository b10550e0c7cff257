"""Context windows where rotary factors change with the length, against greedy `generate`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from adafuse import ContextWindowError, Ensemble
from adafuse.local.member import LocalMember
from corpus import LINES
from families import SHAPE, SHORT, _build, phi3
from family_tokenizers import llama3_tokenizer
from oracle_text import Text

TEXT = "".join(LINES)


def dynamic() -> PreTrainedModel:
    """Dynamic NTK: factors that grow with the length beyond 48 tokens."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    config = {**SHAPE, "max_position_embeddings": 48, "rope_parameters": rope, "eos_bias": -9.0}
    return _build(LlamaForCausalLM, llama3_tokenizer(), 0, config)[0]


def greedy(model: Any, ids: list[int], count: int) -> list[int]:
    given = torch.tensor([ids])
    ones = torch.ones_like(given)
    made = model.generate(
        given, attention_mask=ones, max_new_tokens=count, do_sample=False, eos_token_id=-1,
        pad_token_id=0,
    )  # fmt: skip
    new: list[int] = made[0, len(ids) :].tolist()
    return new


def prompt_of(tokens: int) -> tuple[str, list[int]]:
    """A prompt of so many tokens, the first of which begins every prompt."""
    tokenizer = llama3_tokenizer()
    text = Text(tokenizer)
    for start in range(40):
        prompt = tokenizer.decode(tokenizer.encode(TEXT[start:])[1:tokens])
        ids = text.raw_prompt(prompt)
        if len(ids) == tokens:
            return prompt, ids
    raise AssertionError


def check(model: PreTrainedModel, tokens: int, window: int) -> None:
    """An answer has the ids of `generate` up to its end or a full window."""
    prompt, ids = prompt_of(tokens)
    member = LocalMember(model, llama3_tokenizer(), "m")
    answer = Ensemble([member]).generate(prompt, branches=1, max_new_tokens=200)
    wanted = greedy(model, ids, window - tokens)
    end = next((at for at, one in enumerate(wanted) if one in member.end_ids), len(wanted))
    assert list(answer.usage["m"].token_ids) == Text(llama3_tokenizer()).whole(wanted[:end])
    assert answer.finish_reason == ("stop" if end < len(wanted) else "length")
    assert answer.usage["m"].committed_tokens > (window - tokens) // 2


@pytest.mark.parametrize("tokens", [8, 21, 44])
def test_longrope_ends_where_its_factors_change(tokens: int) -> None:
    model = phi3()
    assert LocalMember(model, llama3_tokenizer(), "m").runner.window == 48
    check(model, tokens, 48)


@pytest.mark.parametrize("tokens", [49, 60, 90])
def test_longrope_has_its_whole_window_for_a_prompt_beyond_the_change(tokens: int) -> None:
    """Its later factors then hold from the first token."""
    check(phi3(), tokens, 96)


def test_answers_on_both_sides_of_the_change_do_not_disturb_each_other() -> None:
    member = LocalMember(phi3(), llama3_tokenizer(), "m")
    ensemble = Ensemble([member])
    prompts = [prompt_of(8)[0], prompt_of(60)[0]]
    alone = [ensemble.generate(prompt, max_new_tokens=20).text for prompt in prompts]
    streams = [ensemble.stream(prompt, max_new_tokens=20) for prompt in prompts]
    texts = ["", ""]
    for rounds in zip(*streams, strict=False):
        texts = [text + one.text for text, one in zip(texts, rounds, strict=True)]
    rest = ["".join(one.text for one in stream) for stream in streams]
    for text, left, whole in zip(texts, rest, alone, strict=True):
        assert whole.startswith(text)
        assert whole.endswith(left)


def test_longrope_whose_factors_are_the_same_has_its_whole_window() -> None:
    model = phi3(long=SHORT)
    assert LocalMember(model, llama3_tokenizer(), "m").runner.window == 96
    check(model, 21, 96)


def test_scales_that_change_count_as_factors() -> None:
    """PhiMoE changes the size of its cosines, not their factors."""
    model = phi3(long=SHORT, short_mscale=1.0, long_mscale=1.2)
    assert LocalMember(model, llama3_tokenizer(), "m").runner.window == 48


@pytest.mark.parametrize("tokens", [8, 44])
def test_dynamic_scaling_ends_where_it_begins(tokens: int) -> None:
    model = dynamic()
    assert LocalMember(model, llama3_tokenizer(), "m").runner.window == 48
    check(model, tokens, 48)
    with pytest.raises(ContextWindowError, match=r"'m', whose context window is 48"):
        Ensemble([LocalMember(model, llama3_tokenizer(), "m")]).generate(prompt_of(60)[0])


def test_a_prompt_that_ends_where_the_factors_change_has_no_room() -> None:
    member = LocalMember(phi3(), llama3_tokenizer(), "m")
    with pytest.raises(ContextWindowError, match="window is 48"):
        Ensemble([member]).generate(prompt_of(48)[0])
