"""Where a member is read from: a folder, a GGUF file or a hub repository.

Told from names and folders alone; nothing is loaded, and no network is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adafuse.errors import ModelNotFoundError
from adafuse.loading.checkpoints import CONFIG
from adafuse.spec import MemberSpec
from adafuse.validation import show

__all__ = ["Source", "model_source", "part_names", "tokenizer_source"]

_HUB_ID = re.compile(r"(?!.*\.\.)[\w-][\w.-]*(/[\w-][\w.-]*)?")
# Of a file in a repository, or of a revision: either becomes part of a path in the local cache.
_INSIDE = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[\w.@+-][\w.@+ -]*(/[\w.@+ -]+)*")

_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class Source:
    """Where `from_pretrained` reads from."""

    place: str  # a folder or a hub id
    is_local: bool
    gguf: str | None  # the file to read in it
    revision: str | None  # branch, tag or commit on the hub
    trust_remote_code: bool
    commit: str | None = None  # what the revision stands for, once that is known
    cached: bool = False  # it is read from the hub's local cache alone

    @property
    def identity(self) -> str:
        """The same for sources of the same files, whichever way they are reached."""
        version = self.commit or self.revision
        return repr((self.place, self.gguf, version, self.trust_remote_code))

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of every `from_pretrained`."""
        optional = {
            "gguf_file": self.gguf,
            "revision": self.revision,
            "local_files_only": self.cached,
        }
        present = {name: value for name, value in optional.items() if value}
        return {"trust_remote_code": self.trust_remote_code, **present}


def model_source(spec: MemberSpec, model: str) -> Source:
    """Find the folder, file or repository, without touching a network."""
    path, is_file, is_folder = _look_up_path(model)
    options = (spec.revision, spec.trust_remote_code)
    if is_file:
        if not _is_gguf(path):
            raise ModelNotFoundError(
                f"{show(model)} is a file but no GGUF file; name the folder that holds the model"
            )
        return Source(str(path.resolve().parent), True, path.name, *options)
    if is_folder:
        ggufs = _first_parts(sorted(path.glob("*.gguf")))
        if not (path / CONFIG).exists():
            if len(ggufs) == 1:
                return Source(str(path.resolve()), True, ggufs[0].name, *options)
            content = "several GGUF files" if ggufs else f"neither a {CONFIG} nor a GGUF file"
            raise ModelNotFoundError(f"folder {show(model)} holds {content}; name the one to load")
        return Source(str(path.resolve()), True, None, *options)
    owner, *names = model.split("/")
    file = None
    if model.lower().endswith(".gguf"):  # on the hub: "org/repo/x.gguf"
        names, file = names[:1], "/".join(names[1:])
    place = "/".join([owner, *names])
    if not _HUB_ID.fullmatch(place) or not (file is None or _INSIDE.fullmatch(file)):
        raise ModelNotFoundError(
            f"no model at {show(model)}: there is no such folder or file, and it is no hub id"
        )
    if spec.revision is not None and not _INSIDE.fullmatch(spec.revision):
        raise ModelNotFoundError(
            f"{model!r}: {show(spec.revision)} is no branch, tag or commit of a repository"
        )
    return Source(place, False, file, *options)


def part_names(file: str) -> list[str]:
    """Names of all parts of a GGUF file, which is named by one of them; most are in one part."""
    if not (part := _PART.fullmatch(file)):
        return [file]
    count = int(part["count"])
    return [f"{part['stem']}-{at:05d}-of-{count:05d}.gguf" for at in range(1, count + 1)] or [file]


def _is_gguf(file: Path) -> bool:
    """Whether a file is one by its name, or by its first bytes: Ollama's have names of their own.

    https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    """
    if file.suffix.lower() == ".gguf":
        return True
    try:
        with file.open("rb") as content:
            return content.read(4) == b"GGUF"
    except OSError:
        return False


def _first_parts(files: Iterable[Path]) -> list[Path]:
    """Files, of one that is in several parts the first."""
    return [file for file in files if file.name == part_names(file.name)[0]]


def _look_up_path(model: str) -> tuple[Path, bool, bool]:
    """The path that a name would be, and whether it is a file, or a folder."""
    try:
        path = Path(model).expanduser()
        return path, path.is_file(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelNotFoundError(f"no model at {show(model)}: {reason}") from None


def tokenizer_source(spec: MemberSpec, model: Source) -> Source:
    """Where the tokenizer is read from; `revision` is the model's, not another repository's."""
    if spec.tokenizer is None:
        return model
    folder, _, is_folder = _look_up_path(spec.tokenizer)
    if is_folder and not any(folder.glob("*.gguf")):
        return Source(str(folder.resolve()), True, None, None, spec.trust_remote_code)
    return replace(model_source(spec, spec.tokenizer), revision=None)
