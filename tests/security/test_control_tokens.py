"""Control tokens do not arise from parts of texts, nor from what other members write.

Whole ones in messages, tools and results: see test_security_prompts.
"""

from __future__ import annotations

from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.testing import ScriptedMember
from chat_templates import GEMMA, LLAMA31, MISTRAL_TOOLS, QWEN, codec, renderer
from families import FAMILIES, family

TEMPLATES = {
    "qwen2": QWEN,
    "gemma3": GEMMA,
    "llama3": LLAMA31,
    "mistral": MISTRAL_TOOLS,
    "llama": "",  # turns as plain text
    "gpt2": "",
}
CASES = pytest.mark.parametrize("name", list(TEMPLATES))


def specials(name: str) -> list[str]:
    """Every special token of a family's tokenizer, as text."""
    return sorted(codec(name).special.values())


def controls(name: str, chat: Any) -> tuple[list[int], str]:
    """The control tokens of a prompt, in order, and all of its text."""
    rendered = renderer(name, TEMPLATES[name]).render(read_prompt(chat))
    special = codec(name).special
    return [one for one in rendered.ids if one in special], codec(name).text(rendered.ids)


def conversation(text: str) -> list[dict[str, Any]]:
    """One with the text in every place that a template may show."""
    return [
        {"role": "system", "content": f"Rules: {text}."},
        {"role": "user", "content": f"Documents:\n- {text}\nQuestion {text}"},
        {"role": "assistant", "content": f"Answer {text} so"},
        {"role": "user", "content": f"And {text} then"},
    ]


@CASES
def test_each_alone_is_read_as_text(name: str) -> None:
    plain, _ = controls(name, conversation("harmless"))
    assert specials(name)
    for special in specials(name):
        found, text = controls(name, conversation(special))
        assert found == plain, special
        assert text.count(special) >= 4  # it is read, as text


@CASES
def test_all_of_them_at_once_make_none(name: str) -> None:
    every = "".join(specials(name))
    plain, _ = controls(name, conversation("harmless"))
    assert controls(name, conversation(every))[0] == plain
    assert controls(name, conversation(every * 20))[0] == plain


@CASES
def test_halves_of_control_tokens_make_none_together(name: str) -> None:
    plain, _ = controls(name, conversation("harmless"))
    for special in specials(name):
        half = len(special) // 2
        chat = conversation("harmless")
        chat[1]["content"] = [
            {"type": "text", "text": "x " + special[:half]},
            {"type": "text", "text": special[half:]},
        ]
        assert controls(name, chat)[0] == plain


@CASES
def test_messages_are_no_templates(name: str) -> None:
    code = "{{ 7 * 191 }}{% for x in messages %}loop{% endfor %}{# gone #}"
    found, text = controls(name, conversation(code))
    assert found == controls(name, conversation("harmless"))[0]
    assert code in text
    assert "1337" not in text


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "t5"])
def test_what_another_member_writes_makes_none(name: str) -> None:
    texts = specials(name)
    writer = ScriptedMember(" ".join(["so", *texts, "end"]), "writer", confident=False)
    reader = LocalMember(*family(name), "reader", weight=0.0)
    answer = Ensemble([writer, reader]).generate("x", max_new_tokens=400)
    for special in texts:
        assert special in answer.text
    assert not set(answer.usage["reader"].token_ids) & set(codec(name).special)
