"""No call begins an answer that must not hold one, whatever signs stand before it."""

from __future__ import annotations

import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.constraints.call_grammar import NO_CALL, NO_CALL_WRITTEN
from adafuse.constraints.constraint import answer_without_calls, read_constraint
from adafuse.constraints.grammar import TokenTable, byte_table
from adafuse.constraints.token_mask import TokenMasks
from adafuse.testing import ScriptedMember
from adafuse.text.tokenizer import TokenCodec
from adafuse.tools import parameters_of, read_calls, read_tools
from dialect_cases import DIALECTS, STOCK, TOOLS
from families import family

CHAT = [{"role": "user", "content": "How many?"}]
PARAMETERS = parameters_of(read_tools(TOOLS))
SIGNS = ["", ">", "> ", "\n\n", "**", "`", "``", "- ", "* **", "1. ", "12) ", "(", "[", '"', "“",
         "→ ", "•", "\u200b", "\ufeff", "⚙️ ", "🔧", "。", "<call>", "</think>\n\n", "<|tool|>",
         "```python\n", "```\n", "```json\n", "$", "\\", "…", "--- \n> "]  # fmt: skip
PROSE = ["There are 7: {}", 'Here:\n```json\n{"name": "stock_level", "arguments": {}}\n```',
         "$2^{10}$ is 1024.", '7 {"name": "x"}', "**Yes** {x}", "é{", "你{", "д: {", "١{", "C++ {",
         "<b>Hi</b> {name}", "```python\nx = {1}\n```", "x{", "[1, 2]", "> 7 crates"]  # fmt: skip


def allowed_bytes(grammar: str, text: str) -> int:
    """How many bytes of a text a grammar allows."""
    return byte_table().matcher(grammar).feed(text.encode())


@pytest.mark.parametrize("sign", SIGNS)
def test_no_brace_follows_signs_alone(sign: str) -> None:
    assert allowed_bytes(NO_CALL, sign + "{") < len((sign + "{").encode())
    assert allowed_bytes(NO_CALL, sign + "[ {") < len((sign + "[ {").encode())
    written = f'{sign}{{"name"'
    assert allowed_bytes(NO_CALL_WRITTEN, written) < len(written.encode())
    data = f'{sign}{{"fruit": 7}}'
    assert allowed_bytes(NO_CALL_WRITTEN, data) == len(data.encode())


@pytest.mark.parametrize("tag", ["<tool_call", "<tool_response"])
def test_no_tag_of_calls_begins_an_answer_whatever_its_attributes(tag: str) -> None:
    for grammar in (NO_CALL, NO_CALL_WRITTEN):
        for before in ("", "- ", "\n> "):
            assert allowed_bytes(grammar, before + tag) < len((before + tag).encode())
        named = f"Models write {tag} and a name."
        assert allowed_bytes(grammar, named) == len(named.encode())


@pytest.mark.parametrize("text", PROSE)
def test_braces_behind_prose_stay(text: str) -> None:
    for grammar in (NO_CALL, NO_CALL_WRITTEN):
        assert allowed_bytes(grammar, text) == len(text.encode())
    answer = Ensemble([ScriptedMember(text, confident=False)]).generate(
        CHAT, tools=TOOLS, tool_choice="none"
    )
    assert answer.text == text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_dialect_is_written_behind_signs(dialect: str) -> None:
    call = DIALECTS[dialect]([STOCK])
    for sign in (">", "1. **", "<call>\n"):
        member = Ensemble([ScriptedMember(sign + call, confident=False)])
        answer = member.generate(CHAT, tools=TOOLS, tool_choice="none")
        assert STOCK.name not in answer.text, sign
        assert read_calls(answer.text, PARAMETERS)[1] == []


def test_members_are_not_offered_a_brace_behind_signs() -> None:
    codec = TokenCodec(family("qwen2", 1)[1], "qwen2")
    table = TokenTable(codec.text_tokens(), codec.encode)
    for text, offered in ((">", False), ("\n**", False), ("1. ", False), ("So: ", True)):
        masks = TokenMasks(table, codec, answer_without_calls(), [0])
        masks.feed(text)
        mask = masks.after([])
        assert mask is not None
        tokens = [codec.token_bytes(int(id_)) for id_ in mask.nonzero()]
        assert any(token.strip().startswith(b"{") for token in tokens) == offered
        assert any(token.startswith(b"T") for token in tokens)


FREE = ["", "{", '{"name": "x', '{"name": "x", "age": 3', '{"name": "stock_level"', "So: {",
        '{"name": "stock_level", ', 'So: {"name": "x", "', '{"title": "x", "', '{"name": "x"}',
        '{"name": "x", "are', '{"name": "x", "arg', '{"name": "x", "age": 3, "']  # fmt: skip
KEYS = (("arguments", False), ("parameters", False), (" arguments", False), ("_Args", False),
        ("age", True), ("par", True))  # fmt: skip
HELD = [' {"name": "x"', '{"name": "good morning", ', '{"name": "x", "', '[{"name": "x", "',
        '```json\n{\n  "name": "ü",\n  "', '{"name": "", "a', '{"name": "stock_levels", "ar',
        '{"type": "function", "name": "x", "', '{"name":"x","']  # fmt: skip


@pytest.mark.parametrize("text", [*FREE, *HELD])
def test_an_object_that_names_no_tool_gets_no_arguments(text: str) -> None:
    """Such a call can be carried out by nobody; other JSON that begins an answer is one."""
    codec = TokenCodec(family("qwen2", 1)[1], "qwen2")
    table = TokenTable(codec.text_tokens(), codec.encode)
    tools = read_tools(TOOLS)
    masks = TokenMasks(table, codec, read_constraint(DecodingConfig(), tools), [0])
    masks.feed(text)
    mask = masks.after([])
    assert (mask is not None) == (text in HELD)
    if mask is None:
        return
    rest = text[text.rindex('"') :] if text.count('"') % 2 else ""
    for key, offered in KEYS:
        path, may = codec.encode(key.removeprefix(rest[1:]) + '"'), True
        if not rest:
            path = codec.encode(f', "{key}"' if "," not in text else f'"{key}"')
        if rest and not key.startswith(rest[1:]):
            continue
        for at, id_ in enumerate(path):
            held = masks.after(path[:at])
            may = may and (held is None or bool(held[id_]))
        assert may == offered, key


def test_what_is_written_so_all_the_same_stays_to_the_letter() -> None:
    for text in ('{"name": "x", "arguments": {"a": 1}}', '{"name": "x", "age": 3}'):
        answer = Ensemble([ScriptedMember(text, confident=False)]).generate(CHAT, tools=TOOLS)
        assert answer.text == text
