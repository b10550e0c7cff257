"""Decoding settings as fields: the same names in every framework, and how the decoder calls them.

Pydantic only; knows no members and no framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from adafuse.config import CONSTRAINTS, DecodingConfig, OnMemberError, Scoring, Weighting
from adafuse.errors import ConfigError

__all__ = ["SETTINGS", "DecodingFields", "read_schema", "replacing"]

_DEFAULTS = DecodingConfig()
# This project's name of a setting, where frameworks have another.
_RENAMED = {"max_new_tokens": "max_tokens"}
SETTINGS = {_RENAMED.get(f.name, f.name): f.name for f in fields(DecodingConfig)}
"""Names of fields, and what `DecodingConfig` calls them."""

_Number = Annotated[float, Field(strict=True)]
_Whole = Annotated[int, Field(strict=True)]


def read_schema(schema: Any) -> Any:
    """A JSON schema, or the class it is of, in plain values: of Pydantic 1 and 2.

    Raises:
        ConfigError: it is neither.
    """
    of_old_model = getattr(schema, "schema", None)
    if isinstance(schema, type) and not hasattr(schema, "model_json_schema") and of_old_model:
        schema = of_old_model()
    return DecodingConfig(json_schema=schema).json_schema


class DecodingFields(BaseModel):
    """How an answer is decoded; every field may also be given per call."""

    margin_threshold: _Number = Field(
        default=_DEFAULTS.margin_threshold,
        description="A drafted word is confident while top-1 minus top-2 probability of the next "
        "token is at least this; 0 to 1.",
    )
    max_words: _Whole = Field(
        default=_DEFAULTS.max_words, description="Most words a member may propose in one round."
    )
    branches: _Whole = Field(
        default=_DEFAULTS.branches,
        description="How many next tokens an uncertain member proposes.",
    )
    max_word_tokens: _Whole = Field(
        default=_DEFAULTS.max_word_tokens, description="A longer word goes on in the next round."
    )
    weights: Sequence[_Number] | None = Field(
        default=None,
        description="One number per member for the mean of their scores; None takes those of the "
        "specifications, which are equal unless set.",
    )
    weighting: Weighting = Field(
        default=_DEFAULTS.weighting,
        description="'fixed'; 'perplexity': weights are multiplied by how well members predict the "
        "prompt; 'consistency': in each round those count more that are sure and agree.",
    )
    scoring: Scoring = Field(
        default=_DEFAULTS.scoring,
        description="Scores are mean NLLs per 'token' of the member, per 'byte' or per 'word'.",
    )
    leader: str | _Whole | None = Field(
        default=None,
        description="A member, by name or by place from 0, whose confident drafts are committed at "
        "once; the others are asked where it is uncertain.",
    )
    contested_only: bool = Field(
        default=_DEFAULTS.contested_only,
        description="Words that all members would write by themselves are committed unscored.",
    )
    temperature: _Number = Field(
        default=_DEFAULTS.temperature,
        description="0 commits the candidate with the lowest mean NLL; above 0 it is drawn.",
    )
    seed: _Whole | None = Field(default=None, description="Of that draw; None is not repeatable.")
    stop: Sequence[str] | str | None = Field(
        default=None, description="Strings that end the answer and are left out of it."
    )
    max_tokens: _Whole = Field(
        default=_DEFAULTS.max_new_tokens,
        description="The answer ends when the first member has committed this many tokens.",
    )
    repetition_penalty: _Number = Field(
        default=_DEFAULTS.repetition_penalty,
        description="As in transformers, over prompt, answer and drafted tokens; 1 is off.",
    )
    speculation: bool = Field(
        default=_DEFAULTS.speculation,
        description="Read ahead, share forwards with other answers and reuse what prompts have in "
        "common; without, the answer is the same and takes longer.",
    )
    timeout: float | None = Field(
        default=None,
        description="Seconds that decoding an answer may take, loading left out; looked at between "
        "rounds. An answer that takes longer raises AnswerTimeoutError.",
    )
    round_timeout: float | None = Field(
        default=None,
        description="Seconds that a member may take for its part of a round, and for reading its "
        "prompt; one that takes longer has failed.",
    )
    on_member_error: OnMemberError = Field(
        default=_DEFAULTS.on_member_error,
        description="What follows when a member fails: 'raise' a MemberError, or 'drop' it for the "
        "rest of the answer, whose metadata then names it.",
    )
    min_members: _Whole = Field(
        default=_DEFAULTS.min_members, description="With 'drop', how many members must remain."
    )
    json_schema: Any = Field(
        default=None,
        description="The answer is JSON that this schema accepts: a mapping or a Pydantic class. "
        "At most one of json_schema, regex, choices and grammar; they need the extra "
        "'constrained', and one that is given per call takes the place of the model's.",
    )
    regex: str | None = Field(default=None, description="The whole answer matches it.")
    choices: Sequence[str] | None = Field(
        default=None, description="The answer is one of these strings."
    )
    grammar: str | None = Field(
        default=None,
        description="The answer is a sentence of this grammar, in llguidance's dialect of Lark.",
    )

    @field_validator("json_schema", mode="before")
    @classmethod
    def _read_schema(cls, given: Any) -> Any:
        return None if given is None else read_schema(given)

    def _decoding(self) -> DecodingConfig:
        """The settings as the decoder takes them.

        Raises:
            ConfigError: one is out of range.
        """
        values = {core: getattr(self, name) for name, core in SETTINGS.items()}
        if isinstance(values["json_schema"], type):  # of a call
            values["json_schema"] = read_schema(values["json_schema"])
        try:
            return DecodingConfig(**values)
        except ConfigError as error:
            message = str(error)
            for core, name in _RENAMED.items():
                message = message.replace(core, name)
            raise ConfigError(message) from None


def replacing(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a call; a constraint among them takes the place of the model's own."""
    if any(given.get(name) is not None for name in CONSTRAINTS):
        return {**dict.fromkeys(CONSTRAINTS), **given}
    return dict(given)
