"""What is written for a Pydantic model, the model reads; and no schema lets wrong texts through."""

import datetime
import enum
import ipaddress
import json
import pathlib
import re
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model
from typing_extensions import TypedDict

from adafuse import ConfigError, DecodingConfig
from arbitrary_schemas import odd_schema
from grammar_walks import start, takes, texts
from schema_checks import wrong


class Colour(enum.Enum):
    RED = "red"
    BLUE = 'bl"ue'


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog", "hound"]
    name: str = "Rex"


class Node(BaseModel):
    value: int
    below: "list[Node]" = []


class Linked(BaseModel):
    model_config = ConfigDict(extra="allow", title="A chain")
    following: "Linked | None" = None


class Record(TypedDict):
    name: str
    size: NotRequired[int | None]


class Pair(NamedTuple):
    left: int
    right: str


FIELDS: dict[str, Any] = {
    "decimal": Decimal,
    "money": Annotated[Decimal, Field(max_digits=6, decimal_places=2, ge=0)],
    "digits": Annotated[Decimal, Field(max_digits=4)],
    "date": datetime.date,
    "moment": datetime.datetime,
    "naive": pydantic.NaiveDatetime,
    "aware": pydantic.AwareDatetime,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
    "uuid4": pydantic.UUID4,
    "url": pydantic.HttpUrl,
    "any url": pydantic.AnyUrl,
    "ipv4": ipaddress.IPv4Address,
    "ipv6 interface": ipaddress.IPv6Interface,
    "any network": pydantic.IPvAnyNetwork,
    "bytes": bytes,
    "base64": pydantic.Base64Bytes,
    "regex": re.Pattern[str],
    "path": pathlib.Path,
    "secret": pydantic.SecretStr,
    "enum": Colour,
    "int enum": Level,
    "literal": Literal["a", 1, None, True],
    "optional": int | None,
    "union": int | bool | str | list[int],
    "float": Annotated[float, Field(gt=0, lt=1)],
    "half": Annotated[float, Field(multiple_of=0.5)],
    "int": Annotated[int, Field(ge=3, lt=10, multiple_of=2)],
    "strict": pydantic.StrictInt,
    "text": Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}\d+$", max_length=8)],
    "list": Annotated[list[Colour], Field(min_length=2, max_length=3)],
    "tuple": tuple[int, str],
    "tuple of any length": tuple[int, ...],
    "named tuple": Pair,
    "typed dict": Record,
    "dict": dict[str, Any],
    "dict by int": dict[int, str],
    "dict by float": dict[float, str],
    "dict by bool": dict[bool, int],
    "dict by date": dict[datetime.date, int],
    "dict by literal": dict[Literal["a", "b"], int],
    "dict by enum": dict[Colour, int],
    "dict by pattern": dict[Annotated[str, StringConstraints(pattern="^x")], int],
    "dict by length": dict[Annotated[str, StringConstraints(max_length=3)], int],
    "any": Any,
    "json": pydantic.JsonValue,
    "models": dict[str, list[Cat]],
    "told apart": Annotated[Cat | Dog, Field(discriminator="kind")],
    "one or the other": Cat | Dog | None,
    "recursive": Node,
    "linked": Linked,
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_written_for_a_model_the_model_reads(name: str) -> None:
    model = create_model("Model", field=(FIELDS[name], ...), note=(str | None, None))
    found = texts(model, 8)
    assert len(found) > 4
    for text in found:
        model.model_validate_json(text)
    schema = DecodingConfig(json_schema=model).json_schema
    assert not [problem for text in found if (problem := wrong(schema, text))]


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"naive"}))
def test_it_is_right_by_the_schema_that_the_model_has_of_itself_too(name: str) -> None:
    model = create_model("Model", field=(FIELDS[name], ...))
    for text in texts(model, 4, seed=1):
        assert not wrong(model.model_json_schema(), text), text


def test_a_model_with_its_own_schema_keeps_it() -> None:
    class Own(BaseModel):
        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:  # type: ignore[override]
            return {"const": 1}

    assert takes(Own, "1")


def test_sets_and_what_has_no_schema_are_refused() -> None:
    with pytest.raises(ConfigError, match="'uniqueItems' at /properties/field "):
        start(create_model("Model", field=(set[int], ...)))
    with pytest.raises(ConfigError, match="json_schema: Cannot generate a JsonSchema"):
        start(create_model("Model", field=(type[int], ...), other=(range, ...), __config__=ANY))


ANY = ConfigDict(arbitrary_types_allowed=True)
ODD, WALKS = 400, 2


@pytest.mark.parametrize("first", range(0, ODD, 100))
def test_whatever_the_schema_no_text_is_wrong(first: int) -> None:
    accepted = 0
    for number in range(first, first + 100):
        schema = odd_schema(number)
        try:
            found = texts(schema, WALKS, number)
        except ConfigError:
            continue
        accepted += 1
        for text in found:
            assert not wrong(schema, text), (number, text, json.dumps(schema))
    assert accepted > 25
