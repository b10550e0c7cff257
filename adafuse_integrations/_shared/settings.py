"""Decoding settings as fields, by the same names in every framework, and what a call makes of them.

Pydantic only; knows no framework, no loaded member, and no setting but by what `adafuse.config`
says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, Strict, create_model, field_validator

from adafuse.config import CONSTRAINTS, DecodingConfig, read_schema
from adafuse.errors import ConfigError
from adafuse.prompting.prompt import Prompt, with_constraint

__all__ = ["SETTINGS", "Call", "DecodingFields", "replacing"]

# This project's name of a setting, where frameworks have another.
_RENAMED = {"max_new_tokens": "max_tokens"}
SETTINGS = {_RENAMED.get(f.name, f.name): f.name for f in fields(DecodingConfig)}
"""Names of fields, and what `DecodingConfig` calls them."""


class _Decoding(BaseModel):
    """What the fields are for."""

    @field_validator("json_schema", mode="before", check_fields=False)
    @classmethod
    def _read_schema(cls, schema: Any) -> Any:
        return None if schema is None else read_schema("json_schema", schema)

    def _decoding(self) -> DecodingConfig:
        """The settings as the decoder takes them; errors name them as the fields are named."""
        try:
            return DecodingConfig(**{core: getattr(self, name) for name, core in SETTINGS.items()})
        except ConfigError as error:
            message = str(error)
            for setting, name in _RENAMED.items():
                message = message.replace(setting, name)
            raise ConfigError(message) from None


def _type(kept: Any) -> Any:
    """The type of a field from that of a setting: numbers are not read from strings."""
    parts = get_args(kept)
    if kept in (int, float):
        return Annotated[kept, Strict()]
    if get_origin(kept) is Sequence:
        return Sequence[_type(parts[0])]  # type: ignore[misc]
    if get_origin(kept) in (Union, UnionType):
        return Union[tuple(map(_type, parts))]  # noqa: UP007
    return kept


def _fields() -> dict[str, Any]:
    types = get_type_hints(DecodingConfig)
    return {
        _RENAMED.get(f.name, f.name): (
            f.metadata["accepts"] or _type(types[f.name]),
            Field(default=f.default, description=f.metadata["description"]),
        )
        for f in fields(DecodingConfig)
    }


if TYPE_CHECKING:

    class DecodingFields(DecodingConfig, _Decoding):
        """What type checkers see: the settings' names and types, and where fields differ."""

        max_tokens: int = 256
        stop: Sequence[str] | str | None = ()  # type: ignore[assignment]
        json_schema: Any = None

else:
    DecodingFields = create_model(
        "DecodingFields",
        __base__=_Decoding,
        __module__=__name__,
        __doc__="How an answer is decoded; every field may also be given per call, where a "
        "constraint takes the place of the model's own.",
        **_fields(),
    )


def replacing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a call; a constraint among them takes the place of the model's own."""
    if any(settings.get(name) is not None for name in CONSTRAINTS):
        return {**dict.fromkeys(CONSTRAINTS), **settings}
    return dict(settings)


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks for.

    Attributes:
        config: settings of those members that answer.
        chosen: which answer, by index.
        tools: what the answer may call, as `read_tools` gives them.
        tool_choice: as `read_tool_choice` gives it.
        parallel: whether the answer may hold several calls.
    """

    config: DecodingConfig
    chosen: tuple[int, ...]
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str = "auto"
    parallel: bool = False

    @property
    def shown(self) -> tuple[dict[str, Any], ...]:
        """The tools that members see, and may call."""
        return () if self.tool_choice == "none" else self.tools

    def constrained(self, prompt: Prompt) -> Prompt:
        """A prompt with what its answer must be; errors as of `Ensemble.stream`."""
        with_tools = replace(prompt, tools=self.tools)
        return with_constraint(with_tools, self.config, self.tool_choice, self.parallel)
