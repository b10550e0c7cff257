"""What the local cache and the hub hold of a repository, before anything of it is loaded.

A repository that is whole in the cache is read from there: the network is not asked, so a machine
without one loads as fast, and a branch stays at the commit that is cached. Knows file names, not
what is in the files.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, get_cached_repo_tree, try_to_load_from_cache
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from adafuse.errors import LoadError, ModelNotFoundError
from adafuse.loading.checkpoints import CONFIG, missing_weights, refuse_pickles
from adafuse.loading.sources import Source

__all__ = ["locate"]

_SECONDS = 10.0  # a hub that has not answered by then counts as out of reach
_VOCABULARIES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json",
)  # fmt: skip
# Files that a repository need not have, and without which a member would say something else.
_WITH_WEIGHTS = ("generation_config.json",)
_WITH_TOKENIZER = (
    CONFIG, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


def locate(source: Source, *, weights: bool, tokenizer: bool) -> Source:
    """Where a model, a tokenizer or both are read: the cache if it is whole, else the hub.

    Raises:
        ModelNotFoundError: the hub has no such repository or file; or it cannot be reached, and
            the cache holds too little.
        UnsafeCheckpointError, LoadError: the repository's weights are pickles, or it has none.
    """
    if source.is_local:
        return source
    cached = _CachedRepository(source, weights, tokenizer)
    if cached.is_complete(cached.listing()):
        return cached.source
    missing = cached.missing()
    try:
        info = HfApi().model_info(source.place, revision=source.revision, timeout=_SECONDS)
    except RevisionNotFoundError:
        reason = f"has no revision {source.revision!r} of it"
    except RepositoryNotFoundError:
        reason = "has no repository of this name that this machine may read"
    except HfHubHTTPError as error:
        if missing:
            return source  # loading says more
        reason = f"answers with an error ({type(error).__name__})"
    except Exception as error:
        reason = f"cannot be reached ({type(error).__name__})"
    else:
        return _source_on_hub(source, info, cached)
    if not missing:
        return cached.source
    kind = "model" if weights else "tokenizer"
    where = f"holds only a part of it ({missing[0]} is missing)" if cached else "does not hold it"
    raise ModelNotFoundError(
        f"no {kind} {source.place!r}: it is no folder here, the local cache of the hub {where}, "
        f"and the hub {reason}"
    )


def _source_on_hub(source: Source, info: ModelInfo, cached: _CachedRepository) -> Source:
    """The source, now that the hub has said what files there are."""
    names = {file.rfilename for file in info.siblings or ()}
    if names:
        _refuse_listing(source, names, weights=cached.weights)
    if info.sha == cached.commit and cached.is_complete(names):
        return cached.source
    return replace(source, commit=info.sha)


def _refuse_listing(source: Source, names: Collection[str], *, weights: bool) -> None:
    """Refuse a repository that does not have what is to be read from it."""
    if source.gguf:
        if source.gguf not in names:
            raise ModelNotFoundError(f"repository {source.place!r} has no file {source.gguf!r}")
    elif weights:
        if CONFIG not in names:
            ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
            hint = f"; name a GGUF file, such as '{source.place}/{ggufs[0]}'" if ggufs else ""
            raise ModelNotFoundError(f"repository {source.place!r} has no {CONFIG}{hint}")
        refuse_pickles(f"repository {source.place!r}", names)
        if not any(".safetensors" in name for name in names):
            raise LoadError(f"repository {source.place!r} holds no weights")


class _CachedRepository:
    """What the local cache holds of a source; false if it holds no file of it."""

    def __init__(self, source: Source, weights: bool, tokenizer: bool) -> None:
        self.weights = weights
        self._tokenizer = tokenizer
        self._place, self._gguf, self._code = source.place, source.gguf, source.trust_remote_code
        self.commit: str | None = None  # that the revision stands for, if the cache knows
        try:
            resolve = HfApi().resolve_revision
            revision = resolve(self._place, revision=source.revision, local_files_only=True)
            self.commit = revision.resolved
        except RevisionResolutionError:
            pass
        except HFValidationError as error:
            reason = " ".join(str(error).split())
            raise ModelNotFoundError(f"{self._place!r} is no hub id: {reason}") from None
        self.source = replace(source, revision=self.commit, commit=self.commit, cached=True)

    def __bool__(self) -> bool:
        names = (self._gguf, *_WITH_WEIGHTS, *_WITH_TOKENIZER, *_VOCABULARIES)
        return any(name in self for name in names if name)

    def __contains__(self, name: object) -> bool:
        return isinstance(self._find(str(name)), str)

    def listing(self) -> Collection[str] | None:
        """Names of the commit's files, if the cache knows them."""
        try:
            tree = get_cached_repo_tree(self._place, revision=self.commit)
        except CachedRepoTreeNotFoundError:
            return None
        return {file.path for file in tree}

    def missing(self) -> list[str]:
        """Files that are not there and without which nothing can be loaded."""
        if self._gguf:
            return [] if self._gguf in self else [self._gguf]
        missing = []
        if self.weights and CONFIG not in self:
            missing.append(CONFIG)
        elif self.weights:
            try:
                missing += missing_weights(self, self._read)
            except ValueError:  # a file that is broken: it is read again from the hub
                missing.append(CONFIG)
        enough = ("tokenizer_config.json", *_VOCABULARIES)
        if self._tokenizer and not any(name in self for name in enough):
            missing.append(_VOCABULARIES[0])
        return missing

    def is_complete(self, listing: Collection[str] | None) -> bool:
        """Whether all is there that loading would read; not so where code is read too.

        Args:
            listing: names of the commit's files. Where they are not known (None), files that are
                not there must be known not to exist.
        """
        if self.missing() or self._code:
            return False
        if self._gguf:
            return True
        optional = (_WITH_WEIGHTS * self.weights) + (_WITH_TOKENIZER * self._tokenizer)
        absent = [name for name in optional if name not in self]
        if listing is None:
            decided = all(self._find(name) is not None for name in absent)
        else:
            decided = not any(name in listing for name in absent)
        vocabulary = any(name in self for name in _VOCABULARIES)
        return decided and (vocabulary or not self._tokenizer)

    def _find(self, name: str) -> object:
        """The path of a cached file; None if the cache knows nothing of the name."""
        if self.commit is None:
            return None
        return try_to_load_from_cache(self._place, name, revision=self.commit)

    def _read(self, name: str) -> str:
        return Path(str(self._find(name))).read_text(encoding="utf-8")
