"""Where texts come from: files, folders or rows, and how many of them are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adafuse.compare.dataset import Layout, placed_rows, read_text
from adafuse.errors import ConfigError
from adafuse.fitting.texts import Text, document_texts, row_texts
from adafuse.validation import show

__all__ = ["Data", "described", "read_texts"]

Data = str | Path | Sequence[str | Path] | Sequence[Mapping[str, Any]]

_DOCUMENTS = (".md", ".markdown", ".rst", ".txt")
_ROWS = (".jsonl", ".ndjson", ".json")
_LEAST = 4  # texts: two in each half


def read_texts(
    data: Data,
    layout: Layout,
    answer: str | None = None,
    prose: bool = False,
    *,
    limit: int = 0,
    seed: int = 0,
) -> tuple[tuple[Text, ...], ...]:
    """Texts of a fit, in groups: those of one row stay in one half.

    Args:
        data: a file, a folder, several of them, or rows. Files of JSON lines have rows; those
            that end in .txt or .md are documents, of which every piece is a group.
        layout: how questions become prompts.
        answer: see `row_texts`.
        prose: see `document_texts`.
        limit: of more texts than these, so many are drawn; 0: all.
        seed: of that draw.

    Raises:
        ConfigError: a file cannot be read, a row is wrong, or there are too few.
    """
    if isinstance(data, Mapping) or not isinstance(data, str | Path | Sequence):
        raise ConfigError(f"data must be files, folders or a list of rows, not {show(data)}")
    paths = [data] if isinstance(data, str | Path) else list(data)
    groups: list[tuple[Text, ...]] = []
    if paths and all(isinstance(path, str | Path) for path in paths):
        for path in paths:
            groups += _of_path(Path(str(path)).expanduser(), layout, answer, prose)
    else:
        rows: Any = paths
        groups += _of_rows(placed_rows(rows), layout, answer, prose)
    if not groups:
        raise ConfigError("there are no texts to fit to")
    if len(groups) < _LEAST:
        raise ConfigError(
            f"there are {len(groups)} texts, and a fit takes at least {_LEAST}, better 50: half of "
            "them fit, half check"
        )
    if not limit or len(groups) <= limit:
        return tuple(groups)
    chosen = np.random.default_rng(seed).choice(len(groups), max(limit, _LEAST), replace=False)
    return tuple(groups[at] for at in sorted(chosen))


def described(data: Data) -> list[str]:
    """What was fitted to, for the result: names of files."""
    paths = [data] if isinstance(data, str | Path) else list(data)
    return [str(path) for path in paths if isinstance(path, str | Path)] or ["rows"]


def _of_path(path: Path, layout: Layout, answer: str | None, prose: bool) -> list[tuple[Text, ...]]:
    if path.is_dir():
        files = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in (*_DOCUMENTS, *_ROWS)]
        # A folder may hold empty ones; a file that is named may not.
        found = [_of_path(file, layout, answer, prose) for file in files if file.stat().st_size]
        if not found:
            kinds = ", ".join((*_DOCUMENTS, *_ROWS))
            raise ConfigError(f"folder {path} has no files of these kinds: {kinds}")
        return [group for groups in found for group in groups]
    kind = path.suffix.lower()
    if kind not in (*_DOCUMENTS, *_ROWS) and path.exists():
        raise ConfigError(
            f"{path} is not read: rows are JSON lines ({', '.join(_ROWS)}), documents are text "
            f"({', '.join(_DOCUMENTS)})"
        )
    content = read_text(path)
    if not content.strip():
        raise ConfigError(f"{path} is empty")
    if kind in _DOCUMENTS:
        return [(text,) for text in document_texts(str(path), content, prose)]
    return _of_rows(placed_rows(path), layout, answer, prose)


def _of_rows(
    rows: Sequence[tuple[str, Mapping[str, Any]]], layout: Layout, answer: str | None, prose: bool
) -> list[tuple[Text, ...]]:
    groups: list[tuple[Text, ...]] = []
    for where, row in rows:
        texts = row_texts(where, row, layout, answer, prose)
        documents = not texts or not texts[0].ends
        groups += [(text,) for text in texts] if documents else [tuple(texts)]
    return groups
