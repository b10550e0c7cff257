"""Errors of the libraries that load a member, as errors of this package that name it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from adafuse.errors import AdaFuseError, LoadError, ModelNotFoundError, UnsafeCheckpointError
from adafuse.spec import MemberSpec

__all__ = ["load_errors"]

# What transformers says of it, not a path that happens to hold the words.
_REMOTE_CODE = re.compile(r"custom code .* pass the argument `trust_remote_code=True`")


@contextmanager
def load_errors(name: str, spec: MemberSpec) -> Iterator[None]:
    """Turn the errors of transformers into one line that names the member."""
    where = f"member {name!r} ({spec.model})"
    try:
        yield
    except AdaFuseError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ValueError) and _REMOTE_CODE.search(reason):
            raise UnsafeCheckpointError(
                f"{where} brings its own code, which is not run; set trust_remote_code=True in "
                "its specification if you trust it"
            ) from error
        if isinstance(error, OSError) and "use_safetensors=True" in reason:
            raise UnsafeCheckpointError(
                f"{where} has no safetensors checkpoint; pickle files are not loaded, since "
                "loading one runs code from it"
            ) from error
        if isinstance(error, OSError):
            raise ModelNotFoundError(f"{where} cannot be read: {reason[:300]}") from error
        kind = type(error).__name__
        raise LoadError(f"{where} cannot be loaded: {kind}: {reason[:300]}") from error
