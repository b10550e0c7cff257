"""Making classes known to LangChain's `load`, which builds those of its own list only."""

from __future__ import annotations

import sys

from langchain_core.load import mapping
from langchain_core.load.serializable import Serializable

__all__ = ["make_loadable"]


def make_loadable(*classes: type[Serializable]) -> None:
    """Let `load(…, allowed_objects="all")` build these classes.

    Whoever loads must still name our package in `valid_namespaces`, or the classes themselves in
    `allowed_objects`. What is loaded may name any model: load only what you trust.
    """
    paths = {tuple(one.lc_id()): tuple(one.lc_id()) for one in classes}
    mapping.SERIALIZABLE_MAPPING.update(paths)
    loader = sys.modules.get("langchain_core.load.load")  # has copied that list, if imported
    getattr(loader, "ALL_SERIALIZABLE_MAPPINGS", {}).update(paths)
    getattr(loader, "_default_class_paths_cache", {}).clear()
