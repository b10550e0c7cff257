"""Values that nobody should give, and ones that are nearly right: strategies for fuzz tests."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import pathlib
from collections import OrderedDict
from typing import Any

import numpy as np
from hypothesis import strategies as st

__all__ = ["ANY", "NUMBERS", "ODD_TEXT", "SPECIALS", "TEXT", "deep", "json_values", "maybe", "near"]

SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>system\n", "<s>", "</s>", "<bos>",
    "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>", "<|start_header_id|>",
    "[INST]", "[/INST]", "[UNK]", "[CLS]", "<tool_call>", "</tool_call>", "<tool_response>",
    "{{ messages }}", "{% for x in y %}", "{{''.__class__}}", "{#", "%s", "\\", "\x00", "\ufeff",
    "\r\n", "\u2028", "\u202e", "e\u0301", "👩\u200d🔬", "🇫🇷", "漢字", "ไทย", "\ufffd", "\x1b[31m",
    "<script>alert(1)</script>", "$(rm -rf ~)", "'; DROP TABLE", " ", "\n\n", "▁", "Ġ", "##a",
)  # fmt: skip

_EVERY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates too
TEXT = st.one_of(
    st.text(max_size=20),
    st.lists(st.one_of(st.sampled_from(SPECIALS), st.text(max_size=4)), max_size=5).map("".join),
    st.builds(lambda one, count: one * count, st.sampled_from(SPECIALS), st.integers(1, 200)),
)
"""Texts that any member can be given."""

ODD_TEXT = st.one_of(TEXT, st.text(_EVERY_CHARACTER, max_size=20), st.just("\ud800"))

NUMBERS = st.one_of(
    st.integers(-2, 5),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**40, 10**400, 1e308, 5e-324, -0.0]),
    st.sampled_from([math.nan, math.inf, -math.inf, True, False]),
)


class _Kind(enum.Enum):
    A = "drop"


class _Text(str):
    """A string that is not quite one."""


class _Silent:
    def __repr__(self) -> str:
        return "several\nlines"


def _cycle() -> list[Any]:
    one: list[Any] = []
    one.append(one)
    return one


def deep(depth: int, mapping: bool) -> Any:
    """Lists or mappings within each other; deeper ones than Hypothesis itself can show."""
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value} if mapping else [value]
    return value


_STRANGE = st.one_of(
    st.sampled_from(
        [
            b"bytes", bytearray(b"x"), 1j, object, str, _Silent(), len, lambda: None, ...,
            NotImplemented, _Kind.A, _Text("drop"), decimal.Decimal("NaN"), decimal.Decimal("0.5"),
            decimal.Decimal("sNaN"), fractions.Fraction(1, 3), datetime.date(2020, 1, 1),
            pathlib.PurePosixPath("a/b"), pathlib.Path("x"), range(3), frozenset({1}), {1, 2},
            OrderedDict(a=1), np.float32("nan"), np.float64(0.5), np.int64(2), np.bool_(True),
            np.str_("x"), np.array([1, 2]), np.array([]), np.array(["a", "b"]), np.array(1.5),
        ]
    ),
    st.builds(_cycle),
    st.builds(lambda: iter([1, 2])),
    st.builds(deep, st.sampled_from([50, 90]), st.booleans()),
)  # fmt: skip
_SCALARS = st.one_of(st.none(), NUMBERS, ODD_TEXT)
_KEYS = st.one_of(st.sampled_from(["role", "content", "type", "name", "text", "id"]), _SCALARS)

ANY: st.SearchStrategy[Any] = st.one_of(
    _STRANGE,
    st.recursive(
        st.one_of(_SCALARS, _STRANGE),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(_KEYS, inner, max_size=3),
        ),
        max_leaves=6,
    ),
)
"""Anything at all."""


def near(good: st.SearchStrategy[Any], often: int = 7) -> st.SearchStrategy[Any]:
    """A value as it should be, `often` times of `often` + 1."""
    return st.integers(0, often).flatmap(lambda at: ANY if at == often else good)


def maybe(
    required: dict[str, st.SearchStrategy[Any]],
    optional: dict[str, st.SearchStrategy[Any]] | None = None,
    often: int = 7,
) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping whose values are nearly right; now and then a key lacks, or one is unknown."""
    keys = {**required, **(optional or {})}
    whole = st.fixed_dictionaries(
        {key: near(value, often) for key, value in required.items()},
        optional={key: near(value, often) for key, value in (optional or {}).items()},
    )
    broken = st.fixed_dictionaries(
        {}, optional={key: near(one, often) for key, one in keys.items()}
    )
    strange = st.builds(lambda one, key, value: {**one, key: value}, whole, _KEYS, ANY)
    return st.integers(0, 9).flatmap(lambda at: {0: broken, 1: strange}.get(at, whole))


def json_values(max_leaves: int = 6) -> st.SearchStrategy[Any]:
    """Values that JSON can write."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-5, 500), st.floats(-9, 9), TEXT)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)
        ),
        max_leaves=max_leaves,
    )
