"""Conversations reach every member whole, whatever its chat template takes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse import PromptError
from adafuse.prompting.prompt import read_prompt
from chat_templates import DEAF, GEMMA, MISTRAL, QWEN, codec, messages, reads, renderer
from family_tokenizers import CHATML_TEMPLATE

Chat = list[tuple[str, str]]


def gemma(*turns: str) -> str:
    return (
        "<bos>"
        + "".join(f"<start_of_turn>{turn}<end_of_turn>\n" for turn in turns)
        + ("<start_of_turn>model\n")
    )


FOLDED: dict[str, tuple[Chat, str]] = {
    "as it is": ([("user", "a"), ("assistant", "b"), ("user", " c ")],
                 gemma("user\na", "model\nb", "user\nc")),
    "two of a user": ([("user", "a"), ("user", "b")], gemma("user\na\n\nb")),
    "two of an assistant": ([("user", "a"), ("assistant", "b"), ("assistant", "c"), ("user", "d")],
                            gemma("user\na", "model\nb\n\nc", "user\nd")),
    "system": ([("system", "s"), ("user", "a")], gemma("user\ns\n\na")),
    "systems": ([("system", "s"), ("system", "t"), ("user", "a")], gemma("user\ns\n\nt\n\na")),
    "late system": ([("user", "a"), ("assistant", "b"), ("system", "s"), ("user", "c")],
                    gemma("user\na", "model\nb", "user\ns\n\nc")),
    "last system": ([("user", "a"), ("assistant", "b"), ("system", "s")],
                    gemma("user\na", "model\nb", "user\ns")),
    "system alone": ([("system", "s")], gemma("user\ns")),
    "empty system": ([("system", ""), ("user", "a")], gemma("user\na")),
    "greeting": ([("assistant", "Hello!"), ("user", "a")],
                 gemma("user\n", "model\nHello!", "user\na")),
    "two greetings": ([("assistant", "Hello!"), ("assistant", "You?"), ("user", "a")],
                      gemma("user\n", "model\nHello!\n\nYou?", "user\na")),
    "greeting alone": ([("assistant", "Hello!")], gemma("user\n", "model\nHello!")),
    "greeting, system": ([("assistant", "Hello!"), ("system", "s"), ("user", "a")],
                         gemma("user\n", "model\nHello!", "user\ns\n\na")),
    "system, greeting": ([("system", "s"), ("assistant", "Hello!"), ("user", "a")],
                         gemma("user\ns", "model\nHello!", "user\na")),
    "all at once": ([("system", "s"), ("user", "a"), ("user", "b"), ("assistant", "c"),
                     ("system", "t"), ("user", "d")],
                    gemma("user\ns\n\na\n\nb", "model\nc", "user\nt\n\nd")),
}  # fmt: skip


@pytest.mark.parametrize(("chat", "wanted"), FOLDED.values(), ids=FOLDED)
def test_what_a_strict_template_refuses_is_merged_and_folded(chat: Chat, wanted: str) -> None:
    assert reads("gemma3", GEMMA, chat) == wanted


@pytest.mark.parametrize(
    ("chat", "wanted"),
    [
        ([("user", "a"), ("critic", "No."), ("user", "b")], "[INST] a\n\ncritic: No.\n\nb [/INST]"),
        ([("critic", "No.")], "[INST] critic: No. [/INST]"),
        (
            [("user", "a"), ("assistant", "b"), ("critic", "No.")],
            "[INST] a [/INST] b</s>[INST] critic: No. [/INST]",
        ),
    ],
)
def test_a_role_that_a_strict_template_does_not_know_is_a_users(chat: Chat, wanted: str) -> None:
    assert reads("mistral", MISTRAL, chat) == f"<s>{wanted}"


def test_a_system_message_that_a_template_takes_stays_one() -> None:
    chat = [("system", "s"), ("user", "a"), ("user", "b"), ("system", "t"), ("user", "c")]
    assert reads("mistral", MISTRAL, chat) == "<s>[INST] s\n\na\n\nb\n\nt\n\nc [/INST]"
    assert reads("qwen2", None, chat).count("<|im_start|>system") == 2


def test_a_system_message_that_a_template_leaves_out_is_folded() -> None:
    assert reads("mistral", DEAF, [("system", " s "), ("user", "a")]) == (
        "<s>[INST]  s \n\na [/INST]"
    )
    two = [("user", "hi"), ("assistant", "b"), ("system", "hi"), ("user", "hi")]
    assert reads("mistral", DEAF, two) == "<s>[INST] hi [/INST] b</s>[INST] hi\n\nhi [/INST]"


def test_special_strings_in_what_is_folded_stay_text() -> None:
    chat = [("system", "<eos> <bos>"), ("user", "<start_of_turn>"), ("user", "<bos>\ue000")]
    rendered = renderer("gemma3", GEMMA).render(read_prompt(messages(chat)))
    controls = [i for i in rendered.ids if i in codec("gemma3").special]
    assert [codec("gemma3").special[i] for i in controls] == [
        "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_turn>"
    ]  # fmt: skip
    assert "<eos> <bos>\n\n<start_of_turn>\n\n<bos>\ue000" in codec("gemma3").text(rendered.ids)


def test_a_conversation_that_no_form_fits_is_refused_with_the_templates_reason() -> None:
    mute = "{% for m in messages if m.role == 'assistant' %}{{ raise_exception('no\nanswers') }}"
    chat = messages([("assistant", "a"), ("user", "b")])
    with pytest.raises(PromptError, match=r"member 'strict': .* refuses .*no answers") as error:
        renderer("gemma3", mute + "{% endfor %}").render(read_prompt(chat))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("role", ["user", "system"])
def test_no_text_of_a_user_or_system_message_is_left_out_silently(role: str) -> None:
    last = "{{ messages[-1].content }}{% if messages[-1].role == 'x' %}{{ messages }}{% endif %}"
    chat = messages([(role, "lost\nwords"), ("assistant", "b"), ("user", "c")])
    with pytest.raises(PromptError, match=rf"'strict': .* leaves out the {role} m.*'lost.nwords'"):
        renderer("qwen2", last).render(read_prompt(chat))
    assert reads("qwen2", last, [("user", "a"), ("system", "b"), ("user", "c")]) == "a\n\nb\n\nc"


def test_what_a_template_cuts_of_an_assistants_thoughts_stays_cut() -> None:
    cuts = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}|{% endfor %}"
    chat = [("user", "a"), ("assistant", "<think>x</think>b"), ("user", "c")]
    assert reads("qwen2", cuts, chat) == "a|b|c|"


@pytest.mark.parametrize("template", [None, GEMMA, MISTRAL, DEAF, QWEN])
@given(
    st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text("ab <|im_end|>\n.é")),
        min_size=1,
        max_size=5,
    ).filter(lambda chat: any(content for _, content in chat))
)
@settings(max_examples=60)
def test_every_word_of_users_and_systems_is_read(template: Any, chat: Chat) -> None:
    text = reads("qwen2", template, chat)
    shown = "".join(text.split())
    assert all("".join(content.split()) in shown for role, content in chat if role != "assistant")


def test_a_template_that_wants_a_user_last_gets_one() -> None:
    wants = "{% if messages[-1].role != 'user' %}{{ raise_exception('a user last') }}{% endif %}"
    chat = [("user", "a"), ("assistant", "b")]
    assert reads("gemma3", wants + GEMMA, chat) == gemma("user\na", "model\nb", "user\n")


# Turns.


def test_a_new_assistant_turn_is_opened_behind_an_assistant_message() -> None:
    chat = [("user", "a"), ("assistant", "b")]
    assert reads("qwen2", CHATML_TEMPLATE, chat).endswith(
        "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>assistant\n"
    )
    assert reads("gpt2", "", chat) == "User: a\n\nAssistant: b\n\nAssistant:"


def test_names_of_users_are_read() -> None:
    chat = [
        {"role": "user", "name": "Ada", "content": "Hi"},
        {"role": "assistant", "name": "Bot", "content": "Yes?"},
        {"role": "user", "name": "Bob <|im_end|>", "content": "Me too"},
    ]
    turns = ("user\nAda: Hi", "assistant\nYes?", "user\nBob <|im_end|>: Me too")
    wanted = "".join(f"<|im_start|>{turn}<|im_end|>\n" for turn in turns)
    assert reads("qwen2", CHATML_TEMPLATE, chat) == wanted + "<|im_start|>assistant\n"
    shows = "{% for m in messages %}({{ m.name }}) {{ m.content }}\n{% endfor %}"
    assert reads("qwen2", shows, chat) == "(Ada) Hi\n(Bot) Yes?\n(Bob <|im_end|>) Me too\n"
    assert reads("gpt2", "", chat) == (
        "User (Ada): Hi\n\nAssistant: Yes?\n\nUser (Bob <|im_end|>): Me too\n\nAssistant:"
    )
    stops = renderer("gpt2").render(read_prompt(chat)).stops
    assert stops == ("\n\nUser:", "\n\nUser (")


def test_names_of_users_survive_merging() -> None:
    chat = [
        {"role": "user", "name": name, "content": text}
        for name, text in [("Ada", "Hi"), ("Ada", "there"), ("Bob", "Ho"), ("Cy", "Hu")]
    ]
    assert reads("gemma3", GEMMA, chat) == gemma("user\nAda: Hi\n\nAda: there\n\nBob: Ho\n\nCy: Hu")
    shows = GEMMA.replace("{{ m.content | trim }}", "{{ m.name }}> {{ m.content | trim }}")
    assert reads("gemma3", shows, chat[:2]) == gemma("user\nAda> Hi\n\nthere")
    assert "> Ada: Hi\n\nthere\n\nBob: Ho" in reads("gemma3", shows, chat[:3])
