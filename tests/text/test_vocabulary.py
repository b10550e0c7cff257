"""Ids that a tokenizer has and its model has not: refused where an answer could meet them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tokenizers import AddedToken

from adafuse import Ensemble, PromptError, UnsupportedTokenizerError
from adafuse.local.member import LocalMember
from families import family

CHAT = [{"role": "user", "content": "Hi"}]


def with_token(name: str, content: str, *, special: bool) -> Any:
    """A family's tokenizer with one token more than its model has rows."""
    tokenizer: Any = copy.deepcopy(family(name)[1])
    tokenizer.add_tokens([AddedToken(content, special=special, normalized=False)])
    assert len(tokenizer) == family(name)[0].config.vocab_size + 1
    return tokenizer


def test_a_token_that_any_text_can_hold_is_refused() -> None:
    model, tokenizer = family("gpt2")[0], with_token("gpt2", "<tool>", special=False)
    size = model.config.vocab_size
    with pytest.raises(UnsupportedTokenizerError) as caught:
        LocalMember(model, tokenizer, "small")
    for part in ("'small'", "'<tool>'", f"id {size}", f"only {size} ids"):
        assert part in str(caught.value)


@pytest.mark.parametrize("role", ["bos_token", "eos_token"])
def test_a_token_that_begins_or_ends_every_answer_is_refused(role: str) -> None:
    model, tokenizer = family("llama3")[0], with_token("llama3", "<edge>", special=True)
    setattr(tokenizer, role, "<edge>")
    if role == "bos_token":
        from tokenizers import processors

        edge = ("<edge>", len(tokenizer) - 1)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<edge> $A", pair="<edge> $A $B", special_tokens=[edge]
        )
    with pytest.raises(UnsupportedTokenizerError, match="'<edge>'"):
        LocalMember(model, tokenizer, "edge")


@pytest.mark.parametrize("name", ["gpt2", "llama3", "gemma3"])
def test_a_special_token_that_nothing_brings_up_does_no_harm(name: str) -> None:
    """As Gemma's image token, one beyond the rows of its text models."""
    member = LocalMember(family(name)[0], with_token(name, "<image>", special=True), "m")
    same = LocalMember(*family(name), "m")
    for prompt in ("An <image> of <image>", CHAT):
        answers = [Ensemble([one]).generate(prompt, max_new_tokens=8) for one in (member, same)]
        assert answers[0].text == answers[1].text


def test_an_end_token_that_the_model_lacks_is_no_end() -> None:
    member = LocalMember(family("gpt2")[0], with_token("gpt2", "<|im_end|>", special=True), "m")
    assert member.end_ids == LocalMember(*family("gpt2"), "m").end_ids
    assert Ensemble([member]).generate("Hello", max_new_tokens=4).rounds


def test_a_template_that_uses_a_token_beyond_the_model_is_refused_before_any_forward() -> None:
    tokenizer = with_token("qwen2", "<|think|>", special=True)
    tokenizer.chat_template = tokenizer.chat_template + "<|think|>"
    member = LocalMember(family("qwen2")[0], tokenizer, "thinker")
    with pytest.raises(PromptError, match=r"'thinker'.*'<\|think\|>'"):
        Ensemble([member]).generate(CHAT)
    assert Ensemble([member]).generate("Hello", max_new_tokens=2).rounds
    plain = LocalMember(family("qwen2")[0], tokenizer, "plain", chat_template="")
    assert Ensemble([plain]).generate(CHAT, max_new_tokens=2).rounds


def test_padded_models_are_fine() -> None:
    tokenizer = family("gpt2")[1]
    model, _ = family("gpt2", vocab_size=len(tokenizer) + 64)
    member = LocalMember(model, tokenizer, "padded")
    assert Ensemble([member]).generate("Hello", max_new_tokens=4).rounds
