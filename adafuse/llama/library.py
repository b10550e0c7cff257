"""llama.cpp's library: whether it is there, and what it says when something goes wrong.

Its log, which goes to the terminal otherwise, is kept out of the way but for its last complaint.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import threading
from types import ModuleType
from typing import Any

from adafuse.text.gguf_tokens import llama_library

__all__ = ["complaint", "forget_complaints", "installed", "library"]

_WARNING, _ERROR = 3, 4  # levels of ggml's log, in ggml.h
_MOST = 20  # lines kept
_PLACE = re.compile(r"^\w+: (error loading model: )?")  # a function's name
_lines = threading.local()


def installed() -> bool:
    """Whether llama-cpp-python is there; nothing is loaded."""
    return importlib.util.find_spec("llama_cpp") is not None


@functools.cache
def library() -> ModuleType:
    """The low-level bindings, ready for use; MissingExtraError if they are not installed."""
    bindings: ModuleType = llama_library().llama_cpp
    bindings.llama_log_set(_callback(bindings), ctypes.c_void_p(0))
    bindings.llama_backend_init()
    return bindings


@functools.cache  # llama.cpp holds a pointer to it
def _callback(bindings: ModuleType) -> Any:
    @bindings.llama_log_callback  # type: ignore[untyped-decorator]
    def note(level: int, text: bytes, _: Any) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level in (_ERROR, _WARNING) and line:
            kept = getattr(_lines, "kept", [])
            _lines.kept = [*kept, (level, line)][-_MOST:]

    return note


def forget_complaints() -> None:
    """Begin anew: what follows is what the next `complaint` is about."""
    _lines.kept = []


def complaint() -> str:
    """What llama.cpp said last in this thread: its first error, else its last warning."""
    kept: list[tuple[int, str]] = getattr(_lines, "kept", [])
    errors = [line for level, line in kept if level == _ERROR]
    line = (errors or [line for _, line in kept[-1:]] or [""])[0]
    return " ".join(_PLACE.sub("", line).split())
