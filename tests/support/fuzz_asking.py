"""What ensembles are asked, nearly right: prompts, tools, settings, members; for fuzz tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from adafuse.tools import CALL_END, CALL_START, call_text
from arbitrary_schemas import odd_schema
from fuzz_values import ANY, NUMBERS, ODD_TEXT, TEXT, json_values, maybe, near
from random_schemas import case

__all__ = [
    "ANSWERS",
    "CHOICES",
    "GRAMMARS",
    "MESSAGES",
    "NAMES",
    "PROMPTS",
    "REGEXES",
    "SCHEMAS",
    "SETTINGS",
    "SPECS",
    "TOOLS",
    "WAYS",
]

NAMES = st.one_of(
    st.sampled_from(
        [
            "org/model", "../../etc/passwd", "/etc", "~", "~nobody/x", ".", "..", "/", "a/../b",
            "a//b", "a/b/c", "org/model.gguf", "x.gguf", ".gguf", "org/repo/x.gguf", "\x00",
            "a\x00b", "a\nb", "C:\\models\\x", "http://example.org/x", "file:///etc/passwd",
            "org/model@main", "a" * 300, "a/" * 200, "-x", "--help", "org/--x", "NUL", "%2e%2e/x",
            "smollm2 ", "\ud800",
        ]
    ),
    st.lists(st.sampled_from(["..", ".", "/", "a", "org", "\\", " ", "\x00", "~", ".gguf", "\n"]),
             max_size=6).map("".join),
    ODD_TEXT,
)  # fmt: skip

SCHEMAS = st.one_of(
    st.integers(0, 10_000).map(odd_schema),
    st.integers(0, 10_000).map(lambda number: case(number).schema),
    st.just({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
    st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "enum", "const", "anyOf", "allOf", "oneOf", "$ref",
             "minimum", "maxLength", "minItems", "maxItems", "pattern", "format", "required",
             "additionalProperties", "not", "$defs", "default", "title", "multipleOf"]
        ),
        st.one_of(json_values(), st.sampled_from(["object", "string", "#", "#/$defs/a", "^a+$"])),
        max_size=5,
    ),
)  # fmt: skip

_PIECES = (
    "a", "b", ".", "\\d", "\\w+", "[a-z]", "[^a]", "(", ")", "(?:", "(?=", "(?P<n>", "|", "*", "+",
    "?", "{2}", "{1,3}", "{5000}", "{,3}", "^", "$", "\\b", "\\1", "\\p{L}", "[", "]", "\\", "é",
    "漢", "(?i)", "(?s:.*)", "\\x00", "\\u0041", "&", "~", "/", '"', "\n", "\\n", " ", "-",
)  # fmt: skip
REGEXES = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=7).map("".join)

_LARK = (
    "start: ", "start: a", "\n", "a: ", "a", '"x"', "/[a-z]+/", "A: ", "A", "|", "(", ")", "*", "+",
    "?", "{2,4}", "%json {}", '%json {"type": "integer"}', "%ignore /\\s+/", "%import common.INT",
    "[temperature=0.5]", "start: start", "<[1]>", "//", " ", '"', "é", "%regex {}", "start: a a",
)  # fmt: skip
GRAMMARS = st.one_of(
    st.lists(st.sampled_from(_LARK), min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(_LARK), max_size=5).map(
        lambda one: 'start: "x" a\na: ' + "".join(one)
    ),
)

_TOOL_NAMES = st.sampled_from(["add", "look_up", "a.b-c", "A" * 64])
_PARAMETERS = st.one_of(
    st.just({"type": "object", "properties": {"a": {"type": "integer"}}}),
    st.integers(0, 10_000).map(lambda number: {"type": "object", **odd_schema(number)}),
    st.builds(lambda one: {"type": "object", "properties": {"a": one}}, SCHEMAS),
)
_FUNCTION = maybe({"name": _TOOL_NAMES}, {"description": TEXT, "parameters": _PARAMETERS})
TOOL = maybe({"type": st.just("function"), "function": _FUNCTION})
TOOLS = near(st.lists(near(TOOL), max_size=3))

_CALL = maybe(
    {
        "function": maybe(
            {"name": st.one_of(_TOOL_NAMES, ODD_TEXT)},
            {"arguments": st.one_of(st.dictionaries(TEXT, json_values()), TEXT, st.just("{}"))},
        )
    },
    {"id": TEXT, "type": st.just("function")},
)
_CONTENT = st.one_of(
    ODD_TEXT, st.lists(near(maybe({"type": st.just("text"), "text": ODD_TEXT})), max_size=3)
)
_MESSAGE = maybe(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "developer", "x-1"]),
        "content": _CONTENT,
    },
    {
        "name": TEXT,
        "tool_calls": st.lists(_CALL, max_size=2),
        "tool_call_id": TEXT,
        "reasoning_content": TEXT,
    },
    often=15,
)
MESSAGES = st.lists(near(_MESSAGE, 20), min_size=1, max_size=4)
PROMPTS = st.one_of(ODD_TEXT, MESSAGES, near(MESSAGES))

CHOICES = st.lists(near(TEXT, 20), min_size=1, max_size=4)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "margin_threshold": st.floats(0, 1),
    "max_words": st.integers(1, 6),
    "branches": st.integers(1, 8),
    "max_word_tokens": st.integers(1, 20),
    "weights": st.lists(st.floats(0, 3), min_size=1, max_size=3),
    "rule": st.sampled_from(["words", "paper"]),
    "combine": st.sampled_from(["mixture", "product"]),
    "prompt_exponent": st.sampled_from([0.0, 0.0, 1.0, 5.0]),
    "pool_stops": st.booleans(),
    "top_p": st.floats(0.01, 1),
    "temperature": st.floats(0, 3),
    "seed": st.one_of(st.none(), st.integers()),
    "stop": st.one_of(TEXT, st.lists(TEXT.filter(bool), max_size=4)),
    "max_new_tokens": st.integers(1, 24),
    "repetition_penalty": st.one_of(st.floats(0.1, 3), st.sampled_from([5e-324, 1e308])),
    "speculation": st.booleans(),
    "repetition_guard": st.booleans(),
    "timeout": st.one_of(st.none(), st.floats(1, 1e6)),
    "round_timeout": st.one_of(st.none(), st.floats(5, 1e6)),
    "on_member_error": st.sampled_from(["raise", "drop"]),
    "min_members": st.integers(1, 3),
    "json_schema": SCHEMAS,
    "regex": REGEXES,
    "choices": CHOICES,
    "grammar": GRAMMARS,
}
"""Values of each setting that are mostly right."""

WAYS: dict[str, st.SearchStrategy[Any]] = {
    "prompt_format": st.sampled_from([None, "raw", "auto", "chat"]),
    "tools": TOOLS,
    "tool_choice": st.sampled_from([None, "auto", "none", "any", "required", "add"]),
    "parallel_tool_calls": st.booleans(),
}
"""The other arguments of `Ensemble.stream`."""

ANSWERS = st.one_of(
    TEXT,
    st.lists(st.sampled_from(["one ", "two ", "\n", "three. "]), max_size=6).map("".join),
    st.builds(call_text, _TOOL_NAMES, st.dictionaries(TEXT, json_values(3), max_size=2)),
    st.lists(
        st.one_of(st.sampled_from([CALL_START, CALL_END, '{"name": "add"', "}", "\n"]), TEXT),
        max_size=5,
    ).map("".join),
)

_TABLE = st.dictionaries(st.sampled_from(["padding_side", "add_bos_token", "x"]), ANY, max_size=2)
SPECS = st.one_of(
    NAMES,
    ANY,
    maybe(
        {"model": NAMES},
        {
            "name": TEXT,
            "weight": NUMBERS,
            "device": st.sampled_from(["cpu", "cuda:7", "meta", "x"]),
            "dtype": st.sampled_from(["float32", "auto", "int8", "os"]),
            "device_map": st.sampled_from(["auto", {"": "cpu"}, {}]),
            "quantization_config": st.dictionaries(TEXT, json_values(2), max_size=2),
            "revision": NAMES,
            "tokenizer": NAMES,
            "tokenizer_kwargs": _TABLE,
            "chat_template": st.one_of(TEXT, st.dictionaries(TEXT, TEXT, max_size=2)),
            "chat_template_kwargs": st.dictionaries(
                st.sampled_from(["enable_thinking", "messages", "tools", "raise_exception"]),
                ANY, max_size=2,
            ),
            "attn_implementation": st.sampled_from(["sdpa", "eager", "flash_attention_2"]),
            "prompt_cache_mb": NUMBERS,
            "check_memory": st.booleans(),
            "trust_remote_code": st.just(False),
        },
    ),
)  # fmt: skip
