"""TypedDicts as LangChain's converter takes them: it knows no key that may be left out.

What it does know is a default. Knows no tools.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import ReadOnly, TypedDict, get_type_hints, is_typeddict

__all__ = ["with_defaults"]

_ABOUT_KEYS: tuple[Any, ...] = (Required, NotRequired, ReadOnly)


def with_defaults(schema: Any) -> Any:
    """A TypedDict in which keys that may be left out have a default, those inside it too.

    Anything else as it is. TypeError: it holds itself, and the converter would come to no end.
    """
    return _rewritten(schema, ()) if is_typeddict(schema) else schema


def _rewritten(kind: Any, around: tuple[Any, ...]) -> Any:
    if is_typeddict(kind):
        if kind in around:
            name = kind.__name__
            raise TypeError(f"the TypedDict {name!r} holds itself; use a Pydantic class instead")
        return _rewritten_dict(kind, (*around, kind))
    arguments = get_args(kind)
    origin = get_origin(kind)
    if not arguments or origin is None or origin is typing.Literal:
        return kind
    if origin is Annotated:
        inner, *notes = arguments
        return Annotated[(_rewritten(inner, around), *notes)]
    inner = tuple(_rewritten(each, around) for each in arguments)
    if inner == arguments:
        return kind
    if origin in (Union, types.UnionType):
        return functools.reduce(lambda one, other: one | other, inner)
    return origin[inner]


def _rewritten_dict(kind: Any, around: tuple[Any, ...]) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        optional = name in getattr(kind, "__optional_keys__", ())
        origin: Any = get_origin(hint)
        while origin in _ABOUT_KEYS:
            optional = origin is NotRequired or (optional and origin is not Required)
            (hint,) = get_args(hint)
            origin = get_origin(hint)
        fields[name] = _field(_rewritten(hint, around), optional)
    made: Any = TypedDict(kind.__name__, fields)  # type: ignore[misc]
    made.__doc__ = kind.__doc__ or ""  # else that of `dict`
    made.__module__ = kind.__module__
    return made


def _field(hint: Any, optional: bool) -> Any:
    """LangChain reads Annotated[type, default, description]; "..." is no default."""
    if not optional:
        return hint
    if get_origin(hint) is not Annotated:
        return Annotated[hint, None]
    inner, default, *rest = get_args(hint)
    return Annotated[(inner, None if default is ... else default, *rest)]
