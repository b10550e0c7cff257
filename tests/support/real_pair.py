"""The two demo models as an ensemble, loaded once in a process."""

from __future__ import annotations

import functools

from adafuse import Ensemble, MemberSpec
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members

__all__ = ["real_pair"]


@functools.cache
def real_pair() -> Ensemble:
    """SmolLM2 135M Instruct and Gemma 3 270M, in float32: answers are compared with others."""
    folders = prepare_all()
    specs = [MemberSpec(str(folder), name=name) for name, folder in folders.items()]
    return Ensemble(load_members(specs, dtype="float32"))
