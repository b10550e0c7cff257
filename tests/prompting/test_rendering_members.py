"""What tokenizers lose of a prompt, which template a member takes, what it says and counts."""

import copy
import warnings
from typing import Any

import pytest
from tokenizers import AddedToken

from adafuse import AdaFuseWarning, ConfigError, Ensemble, MemberSpec
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import Rendered, Renderer
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import TokenCodec
from chat_templates import codec, messages, reads, renderer
from families import family
from family_tokenizers import CHATML_TEMPLATE

Chat = list[tuple[str, str]]


# Losses, control tokens that swallow blanks.


def phi(name: str) -> tuple[Any, str]:
    """A tokenizer with control tokens that swallow the whitespace beside them, and its template."""
    tokenizer: Any = copy.deepcopy(family(name)[1])
    ends = [AddedToken("<|end|>", special=True, lstrip=True, rstrip=True)]
    roles = [AddedToken(f"<|{one}|>", special=True, rstrip=True) for one in ("user", "assistant")]
    tokenizer.add_tokens(ends + roles)
    template = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "<|assistant|>\n"
    )
    return tokenizer, template


def rendered_by(tokenizer: Any, template: str, chat: Chat) -> Rendered:
    one = Renderer(TokenCodec(tokenizer, "phi"), "phi", template)
    return one.render(read_prompt(messages(chat)))


@pytest.mark.parametrize("name", ["llama3", "qwen2", "gemma3", "llama", "mistral"])
def test_control_tokens_that_swallow_blanks_lose_nothing(name: str) -> None:
    tokenizer, template = phi(name)
    chat = [("user", "Hi  there \n"), ("assistant", "Yes?"), ("user", " x")]
    rendered = rendered_by(tokenizer, template, chat)
    whole = tokenizer.apply_chat_template(
        messages(chat), chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert list(rendered.ids) == tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert rendered.losses == ()


def test_only_the_piece_that_differs_counts_as_lost() -> None:
    tokenizer, template = phi("qwen2")  # reads NFC
    chat = [("user", "plain"), ("assistant", "e\u0301t\u00e9 <|end|>"), ("user", "plain too")]
    (loss,) = rendered_by(tokenizer, template, chat).losses
    assert (loss.text, loss.reads) == ("e\u0301t\u00e9 <|end|>", "\u00e9t\u00e9 <|end|>")


@pytest.mark.parametrize("name", ["llama", "llama3", "gemma3", "qwen2", "mistral", "gpt2"])
def test_what_a_tokenizer_can_hold_is_no_loss(name: str) -> None:
    chat = messages(
        [("user", " two  blanks\n\tif x < 5: ไทย 👩‍🔬 \x00"), ("user", "</s> <bos> [INST]")]
    )
    for template in (family(name)[1].chat_template or "", CHATML_TEMPLATE):
        assert renderer(name, template).render(read_prompt(chat)).losses == ()


# Templates and their arguments.


def test_of_several_templates_the_default_one_is_taken() -> None:
    named = {"default": "d {{ messages[0].content }}", "rag": "r {{ messages[0].content }}"}
    assert reads("qwen2", named, [("user", "x")]) == "d x"
    assert reads("qwen2", {"only": "o {{ messages[0].content }}"}, [("user", "x")]) == "o x"
    tokenizer: Any = copy.deepcopy(family("qwen2")[1])
    tokenizer.chat_template = named
    one = Renderer(TokenCodec(tokenizer, "m"), "m")
    assert codec("qwen2").text(one.render(read_prompt(messages([("user", "x")]))).ids) == "d x"
    with pytest.raises(ConfigError, match="member 'strict' has chat templates named rag, b"):
        renderer("qwen2", {"rag": "x", "b": "y"})
    with pytest.raises(ConfigError, match="named default"):
        renderer("qwen2", {"default": 5})
    assert MemberSpec("org/model", chat_template=named).chat_template == named


@pytest.mark.parametrize("name", ["tokenize", "tools", "messages", "return_dict"])
def test_arguments_of_a_template_that_are_not_the_callers_are_refused(name: str) -> None:
    model, tokenizer = family("qwen2")
    for build in (
        lambda: LocalMember(model, tokenizer, "m", chat_template_kwargs={name: None}),
        lambda: MemberSpec("m", chat_template_kwargs={"enable_thinking": False, name: None}),
    ):
        with pytest.raises(ConfigError, match=rf"'m': chat_template_kwargs must not hold {name},"):
            build()


def test_other_arguments_reach_the_template() -> None:
    template = "{{ messages[0].content }} {{ mood }}"
    one = renderer("qwen2", template, mood="glad")
    assert codec("qwen2").text(one.render(read_prompt(messages([("user", "x")]))).ids) == "x glad"


# What is said and counted.


def test_a_member_without_a_template_says_so_once_to_whoever_asks() -> None:
    chat = messages([("user", "x")])
    members = [LocalMember(*family(name), name) for name in ("gpt2", "llama", "qwen2")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for one in members:
            one.render(read_prompt("x"))
            one.render(read_prompt("x", "chat"))  # asked for: nothing to say
        assert caught == []
        for _ in range(2):
            Ensemble(members).generate(chat, max_new_tokens=1)
            members[1].render(read_prompt(chat))
    assert [one.category for one in caught] == [AdaFuseWarning] * 2
    told = [str(one.message) for one in caught]
    assert told[0].startswith("member 'gpt2' has no chat template: it reads messages as 'User: …'")
    assert told[1].startswith("member 'llama' has no chat template")
    assert {one.filename for one in caught} == {__file__}


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "gemma3"])
def test_prompt_tokens_are_counted_as_they_are_read(name: str) -> None:
    member = LocalMember(*family(name), name)
    for prompt in (read_prompt("Hi there"), read_prompt(messages([("user", "Hi there")]))):
        answer = Ensemble([member]).generate(prompt.text or list(prompt.messages), max_new_tokens=1)
        assert answer.usage[name].prompt_tokens == member.count_prompt_tokens(prompt)
    tools = [{"type": "function", "function": {"name": "add"}}]
    chat = messages([("user", "Hi there")])
    shown = member.count_prompt_tokens(read_prompt(chat, tools=tools))
    assert shown > member.count_prompt_tokens(read_prompt(chat)) > member.count_tokens("Hi there")


def test_a_scripted_member_counts_characters() -> None:
    prompt = read_prompt(messages([("system", "long words"), ("user", "abc")]))
    member = ScriptedMember("x")
    assert (member.count_tokens("ab"), member.count_prompt_tokens(prompt)) == (2, 3)
    usage = Ensemble([member]).generate(list(prompt.messages)).usage
    assert usage["scripted"].prompt_tokens == 3
