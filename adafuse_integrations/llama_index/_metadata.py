"""What LlamaIndex is told of an ensemble, without loading members before somebody needs to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from pydantic import PrivateAttr, SerializerFunctionWrapHandler, model_serializer

__all__ = ["EnsembleMetadata"]

_WINDOW = "context_window"


class EnsembleMetadata(LLMMetadata):
    """Metadata whose context window is looked up when it is first read.

    LlamaIndex reads metadata in coroutines too, to learn whether a model chats and to tell of a
    call, and members that were loaded there would block the event loop. Written down before that,
    the window is None.
    """

    _look_up: Callable[[], int] = PrivateAttr()

    @classmethod
    def of(cls, look_up: Callable[[], int], **others: Any) -> EnsembleMetadata:
        """Metadata with all but the window, which `look_up` returns, in tokens."""
        metadata = cls(**others)
        metadata._look_up = look_up
        del metadata.__dict__[_WINDOW]  # so that it is missed when it is read
        return metadata

    def __getattr__(self, name: str) -> Any:
        """Look the window up; everything else as pydantic does it."""
        if name != _WINDOW:
            parent: Any = super()
            return parent.__getattr__(name)
        window = self.__dict__[_WINDOW] = self._look_up()
        return window

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {_WINDOW: None, **write(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as plain metadata, with the window."""
        values = {name: getattr(self, name) for name in LLMMetadata.model_fields}
        return LLMMetadata.model_validate, (values,)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        """Likewise."""
        build, arguments = self.__reduce__()
        return build(*arguments)
