"""Which checkpoint a specification stands for right now, told without a network or a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, RevisionResolutionError

from adafuse.llama.library import installed
from adafuse.loading.sources import Source, model_source, part_names, tokenizer_source
from adafuse.spec import MemberSpec

__all__ = ["Checkpoint", "identify"]

_READ = (".bin", ".gguf", ".jinja", ".json", ".model", ".safetensors", ".txt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What would be loaded.

    Attributes:
        content: the same for the same files; None where nobody knows before they are fetched.
        commit: that a revision on the hub stands for; None for a folder.
    """

    content: str | None
    commit: str | None = None


def identify(spec: MemberSpec) -> Checkpoint:
    """The checkpoint of a member; ModelNotFoundError if there can be none."""
    model = model_source(spec, spec.model)
    sources = [model] if spec.tokenizer is None else [model, tokenizer_source(spec, model)]
    versions = [_version(source) for source in sources]
    content = None if None in versions else " ".join(map(str, versions))
    if content is not None and model.gguf and spec.engine != "transformers" and installed():
        content += " in llama.cpp"  # which rounds otherwise
    return Checkpoint(content, None if model.is_local else versions[0])


def _version(source: Source) -> str | None:
    """A commit; of a folder what tells that its files have changed."""
    if source.is_local:
        folder = Path(source.place)
        parts = map(folder.joinpath, part_names(source.gguf)) if source.gguf else ()
        files = [part for part in parts if part.exists()] or folder.iterdir()
        found = [(file.name, file.stat()) for file in files if source.gguf or file.suffix in _READ]
        return repr((source.place, sorted((n, s.st_size, s.st_mtime_ns) for n, s in found)))
    try:
        resolve = HfApi().resolve_revision
        found_revision = resolve(source.place, revision=source.revision, local_files_only=True)
    except (RevisionResolutionError, HFValidationError):
        return None
    return found_revision.resolved
