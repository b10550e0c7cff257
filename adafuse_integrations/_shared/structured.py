"""Which form of answer a `response_format` asks for, also one given as a Pydantic class."""

from __future__ import annotations

from typing import Any

from adafuse.prompting.response_format import response_schema
from adafuse_integrations._shared.settings import read_schema

__all__ = ["read_response_format"]


def read_response_format(given: Any) -> dict[str, Any] | None:
    """The JSON schema that OpenAI's `response_format` asks for, or None for plain text.

    Args:
        given: OpenAI's mapping, or a Pydantic class.

    Raises:
        ConfigError: it has another form.
    """
    return dict(read_schema(given)) if isinstance(given, type) else response_schema(given)
