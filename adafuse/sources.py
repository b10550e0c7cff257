"""Where a member is read from: a folder, a GGUF file or a hub repository.

Nothing is loaded here; what cannot be read, or would run code, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from adafuse.config import MemberSpec
from adafuse.errors import ModelNotFoundError, UnsafeCheckpointError

__all__ = ["Source", "model_source", "refuse_unreachable", "tokenizer_source"]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Source:
    """Where `from_pretrained` reads from."""

    place: str
    is_local: bool
    gguf: str | None
    revision: str | None
    trust_remote_code: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of every `from_pretrained`."""
        given: dict[str, Any] = {"trust_remote_code": self.trust_remote_code}
        if self.gguf:
            given["gguf_file"] = self.gguf
        if self.revision:
            given["revision"] = self.revision
        return given


def model_source(spec: MemberSpec, model: str) -> Source:
    """Find the folder, file or repository, without touching a network."""
    path = Path(model).expanduser()
    rest = (spec.revision, spec.trust_remote_code)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelNotFoundError(
                f"{model!r} is a file but no GGUF file; name the folder that holds the model"
            )
        return Source(str(path.resolve().parent), True, path.name, *rest)
    if path.is_dir():
        _refuse_pickles(path, model)
        ggufs = sorted(path.glob("*.gguf"))
        if not (path / "config.json").exists():
            if len(ggufs) == 1:
                return Source(str(path.resolve()), True, ggufs[0].name, *rest)
            found = "several GGUF files" if ggufs else "neither a config.json nor a GGUF file"
            raise ModelNotFoundError(f"folder {model!r} holds {found}; name the one to load")
        return Source(str(path.resolve()), True, None, *rest)
    repository, _, file = model.rpartition("/")
    if file.lower().endswith(".gguf") and repository.count("/") >= 1 and not path.is_absolute():
        owner, name, *folders = repository.split("/")
        return Source(f"{owner}/{name}", False, "/".join([*folders, file]), *rest)
    if not _HUB_ID.fullmatch(model) or model.startswith("."):
        raise ModelNotFoundError(
            f"no model at {model!r}: there is no such folder or file, and it is no hub id"
        )
    return Source(model, False, None, *rest)


def tokenizer_source(spec: MemberSpec, own: Source) -> Source:
    """Where the tokenizer is read from; `revision` is the model's, not another repository's."""
    if spec.tokenizer is None:
        return own
    folder = Path(spec.tokenizer).expanduser()
    if folder.is_dir() and not any(folder.glob("*.gguf")):
        return Source(str(folder.resolve()), True, None, None, spec.trust_remote_code)
    return replace(model_source(spec, spec.tokenizer), revision=None)


def refuse_unreachable(source: Source) -> None:
    """Fail at once where the hub has no such repository or cannot be reached.

    Left to itself, the hub client tries for most of a minute.
    """
    file = source.gguf or "config.json"
    if source.is_local or isinstance(
        try_to_load_from_cache(source.place, file, revision=source.revision), str
    ):
        return
    try:
        get_hf_file_metadata(hf_hub_url(source.place, file, revision=source.revision))
    except RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"no model {source.place!r}: it is no folder here and no repository on the hub that "
            "this machine may read"
        ) from None
    except HfHubHTTPError:
        return  # a gated repository, or one without this file: loading says more
    except Exception as error:
        raise ModelNotFoundError(
            f"no model {source.place!r}: it is no folder here, it is not in the local cache of the "
            f"hub, and the hub cannot be reached ({type(error).__name__})"
        ) from None


def _refuse_pickles(folder: Path, model: str) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UnsafeCheckpointError(
            f"{model!r} holds only a pickle checkpoint ({pickles[0]}), and loading a pickle runs "
            "code from it; convert it to safetensors with a tool you trust"
        )
