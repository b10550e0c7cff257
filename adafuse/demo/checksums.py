"""A list of a folder's files with sizes and checksums, written last: what has it is complete.

It knows nothing of models.
"""

import json
from hashlib import file_digest
from pathlib import Path

from adafuse.cache import replace_text

__all__ = ["is_complete", "sha256", "update_manifest", "write_manifest"]

_NAME = "adafuse-manifest.json"
_FORMAT = 1  # raise it when the same source is converted differently: older folders are then remade


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal. Errors of the file system pass through."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, source_sha256: str) -> None:
    """Add to `folder` a JSON file of every file's size in bytes and SHA-256, and the source's."""
    files = {
        path.relative_to(folder).as_posix(): _entry(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"format": _FORMAT, "source_sha256": source_sha256, "files": files}
    (folder / _NAME).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def update_manifest(folder: Path, path: Path) -> None:
    """Note that one of a complete folder's files was changed."""
    manifest = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    manifest["files"][path.relative_to(folder).as_posix()] = _entry(path)
    replace_text(folder / _NAME, json.dumps(manifest, indent=2) + "\n")


def _entry(path: Path) -> dict[str, int | str]:
    return {"size": path.stat().st_size, "sha256": sha256(path)}


def is_complete(folder: Path, source_sha256: str, *, hashes: bool) -> bool:
    """Whether `folder` was made from this source and its files have their sizes, or `hashes`."""
    try:
        manifest = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        if (manifest["format"], manifest["source_sha256"]) != (_FORMAT, source_sha256):
            return False
        return all(
            (folder / name).stat().st_size == entry["size"]
            and (not hashes or sha256(folder / name) == entry["sha256"])
            for name, entry in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no folder, or a manifest that cannot be read
