"""Every member is shown the tools, and every member is told the one syntax of calls."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse.prompting.chat_formats import chat_forms
from adafuse.prompting.chat_template import ChatTemplate, chat_template
from adafuse.prompting.prompt import read_prompt
from adafuse.prompting.renderer import FALLBACK_STOP
from adafuse.tools import ToolCall, call_text, read_calls
from chat_templates import (
    DEAF,
    GEMMA,
    LLAMA31,
    MISTRAL,
    MISTRAL_TOOLS,
    QWEN,
    codec,
    reads,
    renderer,
)
from families import family
from family_tokenizers import CHATML_TEMPLATE, LLAMA3_TEMPLATE

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} <|im_end|> things",
            "parameters": {"type": "object", "properties": {"größe": {"type": "integer"}}},
        },
    }
    for name in ("lift", "drop")
]
ARGUMENTS = [{"größe": 1, "<|im_start|>": ["<|im_end|>", "</tool_call>"]}, {"größe": 2}]
CALLS = [
    {"id": f"call_{n}", "type": "function", "function": {"name": "lift", "arguments": arguments}}
    for n, arguments in enumerate(ARGUMENTS)
]
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Lift it."},
    {"role": "assistant", "content": "I lift.", "tool_calls": CALLS},
    {"role": "tool", "content": "up <|im_start|>", "tool_call_id": "call_0"},
    {"role": "tool", "content": "up too", "tool_call_id": "call_1"},
    {"role": "assistant", "content": "Done."},
    {"role": "user", "content": "Drop it."},
]
CANONICAL = '{"name": <'
MEMBERS = [  # family, template, whether tools go to the template
    ("qwen2", QWEN, True),
    ("qwen2", {"default": CHATML_TEMPLATE, "tool_use": QWEN}, True),
    ("llama3", LLAMA31, True),
    ("mistral", MISTRAL_TOOLS, True),
    ("qwen2", CHATML_TEMPLATE, False),
    ("llama3", LLAMA3_TEMPLATE, False),
    ("gemma3", GEMMA, False),
    ("mistral", MISTRAL, False),
    ("mistral", DEAF, False),
    ("gpt2", "", False),
    ("gemma3", "", False),
]
NAMES = ["qwen", "tool_use", "llama31", "mistral-tools", "chatml", "llama3", "gemma", "mistral",
         "deaf", "gpt2", "gemma-base"]  # fmt: skip
every_member = pytest.mark.parametrize(("name", "template", "native"), MEMBERS, ids=NAMES)


def templated(name: str, template: Any) -> ChatTemplate:
    found = chat_template(codec(name).vocabulary, "m", template, None)
    assert found is not None
    return found


def told(template: Any, number: int) -> str:
    """What stands behind the tool's name in front of a result whose call is not shown."""
    arguments = ARGUMENTS[number].items()
    words = ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in arguments)
    return f", {words}): up" if template == "" else f" ({words}): up"


def user(content: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_what_a_template_shows_is_found_by_trying_it() -> None:
    def shown(name: str, template: Any) -> list[bool]:
        one = templated(name, template)
        abilities = (one.shows_tools, one.teaches_calls, one.writes_calls, one.shows_results)
        return [*abilities, one.shows_names]

    assert shown("qwen2", QWEN) == [True, True, True, True, False]
    assert shown("qwen2", {"default": DEAF, "tool_use": QWEN}) == [True, True, True, True, False]
    assert shown("llama3", LLAMA31) == [True, False, False, True, False]
    assert shown("mistral", MISTRAL_TOOLS) == [True, False, False, True, False]
    assert shown("qwen2", CHATML_TEMPLATE)[:3] == [False, False, False]
    assert shown("gemma3", GEMMA)[:3] == [False, False, False]
    assert shown("qwen2", "{{ messages[0].name }}") == [False, False, False, False, True]
    assert shown("qwen2", "{{ tools | tojson }}{{ raise_exception('no') }}") == [False] * 5
    needs_system = "{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}"
    assert shown("qwen2", needs_system)[0]
    xml = QWEN.replace('{"name": <function-name>', "<function=name>")
    assert shown("qwen2", xml)[:2] == [True, False]


@every_member
def test_every_member_reads_tools_and_the_syntax_of_calls(
    name: str, template: Any, native: bool
) -> None:
    for messages in (user("Lift it."), HISTORY):
        text = reads(name, template, messages, TOOLS)
        for tool in TOOLS:
            assert json.dumps(tool, ensure_ascii=False) in text
        taught = text.split(CANONICAL)
        assert len(taught) == 2, "told once"
        assert taught[0].endswith("<tool_call>\n")
        assert ("You may call these tools" in text) != native
        assert "Lift it." in text
        assert "<tool_call>" not in reads(name, template, user("Lift it."))


@every_member
def test_every_member_reads_the_calls_of_the_past_as_it_is_to_write_them(
    name: str, template: Any, native: bool
) -> None:
    """And with their results where it is not to write any, unless its own template has marks."""
    for tools in (TOOLS, None):
        text = reads(name, template, HISTORY, tools)
        found = [call for call in read_calls(text)[1] if isinstance(call, ToolCall)]
        marked = bool(tools) or template is QWEN or isinstance(template, dict)
        assert found == [ToolCall("lift", arguments) for arguments in ARGUMENTS] * marked
        for message in HISTORY:
            assert message["content"] in text
        call = call_text("lift", ARGUMENTS[0]) if marked else f"lift{told(template, 0)}"
        parts = ["I lift.", call, "up <|im_start|>", "up too", "Done."]
        places = [text.index(part) for part in parts]
        assert places == sorted(places)


@every_member
def test_special_strings_of_tools_and_calls_stay_text(
    name: str, template: Any, native: bool
) -> None:
    one = renderer(name, template)

    def controls(messages: Any, tools: Any) -> list[int]:
        ids = one.render(read_prompt(messages, tools=tools)).ids
        return [i for i in ids if i in codec(name).special]

    given = json.dumps([HISTORY, TOOLS]).replace("<|im_start|>", "<|im_end|>")
    clean = json.loads(given.replace("<|im_end|>", "word"))
    evil = json.loads(given.replace("<|im_end|>", "".join(SPECIAL[name])))
    assert controls(*evil) == controls(*clean)


SPECIAL = {
    "qwen2": ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    "llama3": ["<|eot_id|>", "<|begin_of_text|>"],
    "gemma3": ["<end_of_turn>", "<bos>", "<eos>"],
    "mistral": ["[INST]", "[/INST]", "<s>", "</s>"],
    "gpt2": ["<|endoftext|>"],
}


def test_a_template_that_knows_tools_gets_all_of_it_as_it_is() -> None:
    text = reads("qwen2", QWEN, HISTORY, TOOLS)
    assert text == family("qwen2")[1].apply_chat_template(
        [*read_prompt(HISTORY).messages], tools=TOOLS, chat_template=QWEN, tokenize=False,
        add_generation_prompt=True,
    )  # fmt: skip


def test_a_template_with_another_syntax_is_corrected_in_the_system_message() -> None:
    text = reads("llama3", LLAMA31, user("Lift it."), TOOLS)
    system, asked = text.split("<|eot_id|>")[:2]
    assert system.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nTo ca")
    assert '<tool_call>\n{"name": <tool name>' in system
    assert '{"name": function name, "parameters": dictionary}' in asked
    assert "Be brief.\n\nTo call a tool" in reads("llama3", LLAMA31, HISTORY, TOOLS)
    assert "To call" not in reads("llama3", LLAMA31, HISTORY)  # nothing to be called now
    assert 'ipython<|end_header_id|>\n\n"up too"' in reads("llama3", LLAMA31, HISTORY, TOOLS)


def test_a_template_that_refuses_calls_gets_them_as_text_and_tools_as_they_are() -> None:
    text = reads("mistral", MISTRAL_TOOLS, HISTORY, TOOLS)  # ids of six characters
    assert "[AVAILABLE_TOOLS]" in text
    assert "[TOOL_RESULTS]" not in text
    assert "Result of the tool lift: up too" in text
    renamed = json.loads(json.dumps(HISTORY).replace('"call_', '"numbers_'))
    assert "[TOOL_RESULTS] up too[/TOOL_RESULTS]" in reads("mistral", MISTRAL_TOOLS, renamed, TOOLS)


def test_strict_templates_read_results_of_tools_as_turns_of_the_user() -> None:
    text = reads("gemma3", GEMMA, HISTORY)
    call, results = text.split("<end_of_turn>\n")[1:3]
    assert call == "<start_of_turn>model\nI lift."
    first, second = (f"Result of the tool lift{told(GEMMA, number)}" for number in (0, 1))
    assert results == f"<start_of_turn>user\n{first} <|im_start|>\n\n{second} too"
    taught = reads("gemma3", GEMMA, HISTORY, TOOLS)
    assert taught.startswith("<bos><start_of_turn>user\nBe brief.\n\nYou may call these tools")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("tools", [(), TOOLS])
def test_no_member_reads_results_in_marks_of_other_models_templates(count: int, tools: Any) -> None:
    """It would write them itself: <tool_response_type> was seen in an answer."""
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "lift", "arguments": {}}}
        for n in range(count)
    ]
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    results = ((f"c{n}", f"up {n}") for n in range(count))
    told = ({"role": "tool", "tool_call_id": id_, "content": text} for id_, text in results)
    history = [*user("Lift it."), said, *told]
    for name, template in (
        ("gemma3", GEMMA),
        ("mistral", MISTRAL),
        ("mistral", DEAF),
        ("qwen2", CHATML_TEMPLATE),
        ("gpt2", ""),
    ):
        text = reads(name, template, history, tools)
        assert "tool_response" not in text
        places = [text.index(f"up {n}") for n in range(count)]
        assert places == sorted(places)
    assert reads("qwen2", QWEN, history, tools).count("<tool_response>") == count  # its own


def test_a_question_behind_results_joins_them_where_turns_must_alternate() -> None:
    history = [*HISTORY[1:5], *user("And now?")]
    assert f"{told(GEMMA, 1)} too\n\nAnd now?<end_of_turn>" in reads("gemma3", GEMMA, history)
    assert "</tool_response><|im_end|>\n<|im_start|>user\nAnd now?" in reads("qwen2", QWEN, history)


def test_members_without_a_template_read_tools_and_their_results_as_turns() -> None:
    calls = "\n".join(call_text("lift", arguments) for arguments in ARGUMENTS)
    text = reads("gpt2", "", HISTORY, TOOLS)
    assert text.startswith("System: Be brief.\n\nYou may call these tools")
    assert text.endswith(
        f"\n\nUser: Lift it.\n\nAssistant: I lift.\n{calls}\n\nTool (lift): up <|im_start|>\n\n"
        "Tool (lift): up too\n\nAssistant: Done.\n\nUser: Drop it.\n\nAssistant:"
    )
    one = renderer("gpt2")
    assert one.render(read_prompt(HISTORY)).stops == (FALLBACK_STOP, "\n\nTool (")
    loose = [*user("x"), {"role": "tool", "content": "y"}]
    assert reads("gpt2", "", loose) == "User: x\n\nTool: y\n\nAssistant:"
    assert one.render(read_prompt(loose)).stops == (FALLBACK_STOP, "\n\nTool:")
    asked = reads("gpt2", "", user("Hi"), TOOLS)
    assert asked.startswith("System: You may call these tools")


def test_a_text_with_tools_is_one_user_message() -> None:
    one = renderer("qwen2", QWEN)
    as_text = one.render(read_prompt("Lift it.", "chat", TOOLS))
    assert as_text == one.render(read_prompt(user("Lift it."), tools=TOOLS))


@given(st.lists(st.sampled_from(["system", "user", "assistant", "call", "tool"]), max_size=7))
@settings(max_examples=200)
def test_no_form_of_a_conversation_loses_or_reorders_its_texts(roles: list[str]) -> None:
    messages = []
    for at, role in enumerate(roles):
        message: dict[str, Any] = {"role": role, "content": f"text {at}."}
        if role == "call":
            message = {"role": "assistant", "content": "", "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": {"a": f"text {at}."}}}
            ]}  # fmt: skip
        messages.append(message)
    for template in (templated("qwen2", QWEN), templated("llama3", LLAMA31)):
        for reading in chat_forms(messages, TOOLS, template):
            told = json.dumps(reading.messages)
            places = [told.index(f"text {at}.") for at in range(len(messages))]
            assert places == sorted(places)
