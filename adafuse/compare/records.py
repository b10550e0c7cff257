"""Results by key in a file of JSON lines, so that long work can be interrupted and go on later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adafuse.errors import ConfigError

__all__ = ["Records", "key_of"]


class Records:
    """Plain values by key, in a file if there is one: each is written as soon as it is there.

    Args:
        path: the file; made if it is not there.
        what: a record is, for errors.
        check: called with each record that is read; TypeError or KeyError for what is none.

    Raises:
        ConfigError: the file cannot be used, or holds something else.
    """

    def __init__(
        self, path: Path | None, what: str, check: Callable[[dict[str, Any]], object]
    ) -> None:
        self._records: dict[str, dict[str, Any]] = {}
        self._path = path
        if path is None:
            return
        try:
            path.touch()
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be used: {error.strerror}") from None
        whole = data.rpartition(b"\n")[0]  # an interruption may have cut the last line
        for line in filter(None, whole.split(b"\n")):
            try:
                record = json.loads(line)
                key = record.pop("key")
                check(record)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ConfigError(
                    f"{path} holds a line that is no {what}: {line[:60]!r:.70}; name another folder"
                ) from None
            self._records[key] = record
        if whole != data.removesuffix(b"\n"):
            path.write_bytes(whole + b"\n" if whole else b"")

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of this key, if there is one."""
        return self._records.get(key)

    def add(self, key: str, record: dict[str, Any]) -> None:
        """Keep a record."""
        self._records[key] = record
        if self._path is not None:
            line = json.dumps({"key": key, **record}, ensure_ascii=False)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


def key_of(depends: object) -> str:
    """A key of all that a result depends on: the same for equal plain values."""
    text = json.dumps(depends, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
