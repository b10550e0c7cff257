"""No call begins an answer that must not hold one, whatever signs stand before it."""

from __future__ import annotations

import pytest

from adafuse import Ensemble
from adafuse.constraints.call_grammar import NO_CALL, NO_CALL_WRITTEN
from adafuse.constraints.constraint import answer_without_calls
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
