"""How to decode: each setting once, with its type, default, check and description.

`DecodingConfig` checks itself by them; the fields of `adafuse_integrations`, the command's options
and the table of README.md are made of them, so that a setting is added here and nowhere else. A
dataclass with metadata keeps Pydantic out of the core. This module knows nothing of models.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Literal, Self, get_args

from adafuse.errors import ConfigError
from adafuse.events import Rule
from adafuse.presets import with_preset
from adafuse.validation import (
    check_choice,
    check_float,
    check_pattern,
    check_seconds,
    check_seed,
    check_switch,
    read_choices,
    read_stops,
    read_weights,
    refuse_unknown,
    show,
    whole,
)

__all__ = [
    "CONSTRAINTS",
    "DECODING",
    "LIMITS",
    "Combine",
    "DecodingConfig",
    "OnMemberError",
    "Rule",
    "read_schema",
]

Combine = Literal["mixture", "product"]
OnMemberError = Literal["raise", "drop"]
DECODING, LIMITS = "Decoding", "Limits and faults"  # what a setting is about: headings in --help
CONSTRAINTS = ("json_schema", "regex", "choices", "grammar")
"""Settings that say what an answer may be, of which at most one is given."""


def read_schema(name: str, schema: object) -> dict[str, Any]:
    """A JSON schema as plain JSON values, a copy."""
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        from adafuse.json_schema.pydantic_models import model_schema  # needs Pydantic

        try:
            schema = model_schema(schema)
        except RuntimeError as error:  # Pydantic's, of several lines
            raise ConfigError(f"{name}: {' '.join(str(error).split())}") from None
    elif isinstance(schema, type) and hasattr(schema, "schema"):  # of Pydantic 1
        schema = schema.schema()
    if not isinstance(schema, Mapping):
        raise ConfigError(f"{name} must be a mapping or a Pydantic model, not {show(schema)}")
    try:
        return json.loads(json.dumps(dict(schema), allow_nan=False))  # type: ignore[no-any-return]
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON: {error}") from None


def _check_positive(name: str, value: Any, high: float = sys.float_info.max) -> float:
    if check_float(name, value, 0, high) == 0:
        raise ConfigError(f"{name} must be above 0 (1 switches it off)")
    return value  # type: ignore[no-any-return]


_POSITIVE = partial(whole, low=1)
_SEVERAL = 3  # branches of the paper
# Type checkers do not see that it is frozen: the models of `adafuse_integrations`, whose fields
# have these names and types, are not.
_FROZEN: dict[str, bool] = {"frozen": True, "slots": True}


def _setting(
    default: object,
    check: Callable[[str, Any], object],
    description: str,
    *,
    accepts: Any = None,
    about: str = DECODING,
) -> Any:
    """A setting, with its description in the words of every help.

    `check` gives the value as it is kept, or raises ConfigError; it is called with the name and the
    value, but not for None where that is the default. `accepts` is what a caller may give, where
    that is more than the type it is kept in; `about` is DECODING or LIMITS.
    """
    metadata = {"check": check, "description": description, "accepts": accepts, "about": about}
    return field(default=default, metadata=metadata)


_limit = partial(_setting, about=LIMITS)


@dataclass(kw_only=True, **_FROZEN)
class DecodingConfig:
    """How an ensemble decodes.

    Raises:
        ConfigError: a value is out of range, or several of `CONSTRAINTS` are given.
    """

    rule: Rule = _setting(  # noqa: RUF009
        "words",
        partial(check_choice, choices=get_args(Rule)),
        "What a round decides: 'words', one word, by its probability; 'paper', spans of up to "
        "max_words, by their mean NLL per token (AdaFuse, arXiv 2601.06022).",
    )
    combine: Combine = _setting(  # noqa: RUF009
        "mixture",
        partial(check_choice, choices=get_args(Combine)),
        "How rule 'words' makes one probability of those of all members: their weighted mean "
        "('mixture'), or the weighted mean of their logarithms ('product').",
    )
    margin_threshold: float = _setting(
        0.7,
        partial(check_float, low=0, high=1),
        "A drafted word is confident while the margin (top-1 minus top-2 probability of the next "
        "token) is at least this; 0 to 1.",
    )
    max_words: int = _setting(
        3, _POSITIVE, "Most words a member may propose in one round, under rule 'paper'."
    )
    branches: int | None = _setting(
        None,
        _POSITIVE,
        "How many next tokens an uncertain member proposes. Default: 1, its most probable one; 3 "
        "where answers are drawn (temperature above 0), and under rule 'paper'.",
    )
    max_word_tokens: int = _setting(
        16, _POSITIVE, "A longer word is cut here and goes on in the next round."
    )
    weights: Sequence[float] | None = _setting(
        None,
        read_weights,
        "One number of at least 0 per member, in order: its share of what decides. Under rule "
        "'words' a member of weight 0 proposes nothing, and drafts for speed alone. Default: "
        "those of the specifications, which are equal unless set.",
    )
    prompt_exponent: float = _setting(
        0.0,
        partial(check_float, low=0),
        "Each weight is multiplied by P ** this, where P is the probability per character that "
        "its member gives the prompt; 0 leaves weights as they are.",
    )
    pool_stops: bool = _setting(
        True,
        check_switch,
        "A draft that completes a stop string counts as an end of the answer before it.",
    )
    temperature: float = _setting(
        0.0,
        partial(check_float, low=0),
        "0 commits the best candidate; above 0 one is drawn: from P ** (1 / temperature) under "
        "rule 'words', from softmax(-score / temperature) under 'paper'.",
    )
    top_p: float = _setting(
        1.0,
        partial(_check_positive, high=1),
        "With a temperature: only the likeliest candidates are drawn that have this much of the "
        "probability together; 1 leaves none out.",
    )
    seed: int | None = _setting(
        None, check_seed, "Of that draw. Default: entropy of the operating system."
    )
    stop: tuple[str, ...] = _setting(
        (),
        read_stops,
        "Strings that end the answer and are left out of it.",
        accepts=Sequence[str] | str | None,
    )
    max_new_tokens: int = _setting(
        256, _POSITIVE, "The answer ends when the first member has committed this many tokens."
    )
    repetition_penalty: float = _setting(
        1.0,
        _check_positive,
        "As in transformers, over prompt, answer and drafted tokens: it shapes drafts, not "
        "scores; 1 is off.",
    )
    repetition_guard: bool = _setting(
        True,
        check_switch,
        "In JSON and calls of tools, a string, list or object that goes over the same again and "
        "again is closed where the schema lets it close; and once the same calls were answered "
        "the same twice, an answer that need not call (tool_choice 'auto') does not.",
    )
    speculation: bool = _setting(
        True,
        check_switch,
        "Read ahead, share forwards with other answers, and reuse what earlier prompts had in "
        "common; without, the answer is the same and takes longer.",
    )
    timeout: float | None = _limit(
        None,
        check_seconds,
        "Seconds that decoding the answer may take, loading left out; looked at between rounds.",
    )
    round_timeout: float | None = _limit(
        None,
        check_seconds,
        "Seconds that a member may take for its part of a round, and for reading its prompt; one "
        "that takes longer has failed.",
    )
    on_member_error: OnMemberError = _limit(  # noqa: RUF009
        "raise",
        partial(check_choice, choices=get_args(OnMemberError)),
        "What follows when a member fails (an exception, memory, a lost process, a limit of "
        "time): 'raise' a MemberError, or 'drop' it for the rest of the answer, which names it.",
    )
    min_members: int = _limit(1, _POSITIVE, "With 'drop', how many members must remain.")
    json_schema: Mapping[str, Any] | None = _setting(
        None,
        read_schema,
        "The answer is JSON that this schema accepts: a mapping or a Pydantic model. At most one "
        "of json_schema, regex, choices and grammar; they need the extra 'constrained'.",
        accepts=Any,
    )
    regex: str | None = _setting(None, check_pattern, "The whole answer matches it.")
    choices: Sequence[str] | None = _setting(
        None, read_choices, "The answer is one of these strings."
    )
    grammar: str | None = _setting(
        None,
        check_pattern,
        "The answer is a sentence of this grammar, in llguidance's dialect of Lark.",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                value = each.metadata["check"](each.name, value)
                object.__setattr__(self, each.name, value)
        if len(both := [name for name in CONSTRAINTS if getattr(self, name) is not None]) > 1:
            raise ConfigError(f"give one of {', '.join(CONSTRAINTS)}, not {' and '.join(both)}")

    @property
    def branch_count(self) -> int:
        """`branches`, or the number that goes with the other settings: see docs/evidence.md."""
        if self.branches is not None:
            return self.branches
        return _SEVERAL if self.temperature or self.rule == "paper" else 1

    def override(self, **changes: Any) -> Self:
        """Return a copy with `changes`; raises ConfigError for unknown names or bad values.

        A `preset` among them gives its settings first; see `PRESETS`.
        """
        changes = with_preset(changes)
        refuse_unknown("setting", changes, [each.name for each in fields(self)])
        return replace(self, **changes)


_LINES = "\n        ".join(f"{f.name}: {f.metadata['description']}" for f in fields(DecodingConfig))
DecodingConfig.__doc__ = f"{DecodingConfig.__doc__}\n    Attributes:\n        {_LINES}\n"
