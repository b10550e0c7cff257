"""The JSON schema of a Pydantic model, with what Pydantic checks and its own schemas leave out.

Its schema of a `Decimal` allows any text, that of `dict[int, …]` any name, and that of a naive
moment wants a time zone. Pydantic is imported only by who has a model of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from adafuse.json_schema.formats import NAIVE

__all__ = ["model_schema"]

_WHOLE = "(?:0|-?[1-9][0-9]{0,14})"
_NAMES: dict[str, dict[str, Any]] = {
    "int": {"pattern": f"^{_WHOLE}$"},
    "float": {"pattern": rf"^{_WHOLE}(?:\.[0-9]{{1,9}})?$"},
    "bool": {"enum": ["true", "false"]},
}
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """What JSON a model reads."""
    try:
        return model.model_json_schema(schema_generator=_Generator)
    except TypeError:  # a method of the model's own
        return model.model_json_schema()


class _Generator(GenerateJsonSchema):
    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        bounds = {name: float(schema[key]) for key, name in _BOUNDS.items() if key in schema}
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        if digits is not None and places is None:
            places = digits // 2
        written: dict[str, Any] = {"type": "number", **bounds}
        if places is not None:
            written["allOf"] = [{"multipleOf": float(Decimal(10) ** -places)}]
        if digits is not None:
            most = float(Decimal(10) ** (digits - min(places, digits)) - Decimal(10) ** -places)
            written.setdefault("allOf", []).append({"minimum": -most, "maximum": most})
        return written

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        written = super().dict_schema(schema)
        names = _NAMES.get(schema.get("keys_schema", {}).get("type"))
        return written if names is None else {**written, "propertyNames": names}

    def datetime_schema(self, schema: Any) -> dict[str, Any]:
        if schema.get("tz_constraint") == "naive":
            return {"type": "string", "pattern": NAIVE}
        return super().datetime_schema(schema)
