"""Random texts of the grammar that a schema becomes, and whether it takes a given text.

This module knows no models.
"""

import random
from typing import Any

from adafuse import DecodingConfig
from adafuse.constraints.constraint import read_constraint
from adafuse.constraints.grammar import Matcher, byte_table

__all__ = ["is_taken", "start", "takes", "texts", "walk"]


def start(schema: Any, tokens: int = 256) -> Matcher:
    """A matcher at the start of an answer in JSON; raises ConfigError."""
    constraint = read_constraint(DecodingConfig(json_schema=schema, max_new_tokens=tokens))
    assert constraint is not None
    return byte_table().matcher(constraint.grammar)


def takes(schema: Any, text: str, tokens: int = 256) -> bool:
    """Whether an answer may be a text."""
    return is_taken(start(schema, tokens), text)


def is_taken(matcher: Matcher, text: str) -> bool:
    """Whether a text may follow and end an answer; the matcher stays where it is."""
    matcher, data = matcher.copy(), text.encode()
    return matcher.feed(data) == len(data) and matcher.accepting


def texts(schema: Any, count: int, seed: int = 0) -> list[str]:
    """Random whole answers; those that run on for 4000 bytes are left out."""
    matcher, rng = start(schema), random.Random(seed)
    found = (walk(matcher.copy(), rng, first=not at) for at in range(count))
    return [text for text in found if text is not None]


def walk(matcher: Matcher, rng: random.Random, *, first: bool) -> str | None:
    """A text by random bytes, which after some of them prefers bytes that end something."""
    text = b""
    soft = 0 if first else rng.choice((10, 40, 150))
    evenly = rng.random() < 0.5  # between kinds of bytes, so that most texts are not in ʂﵮÁ
    while len(text) < 4000:
        mask = int.from_bytes(matcher.allowed()[:32], "little")
        allowed = [byte for byte in range(256) if mask >> byte & 1]
        late = len(text) >= soft
        if matcher.accepting and (not allowed or late or rng.random() < 0.3):
            return text.decode()
        assert allowed, f"a dead end after {text!r}"
        ends = [byte for byte in b'"}]' if byte in allowed]
        kinds = [
            [byte for byte in allowed if byte >= 128],
            [byte for byte in allowed if chr(byte).isalnum() and byte < 128],
            [byte for byte in allowed if not chr(byte).isalnum() and byte < 128],
        ]
        pick = rng.choice([kind for kind in kinds if kind]) if evenly else allowed
        text += bytes([rng.choice(ends if ends and late else pick)])
        assert matcher.feed(text[-1:]) == 1
    return None
