"""A cluster of two nodes on this machine, and tiny models in folders that its nodes can read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from families import FAMILIES

__all__ = ["actors", "save", "two_nodes"]


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """Two nodes, labelled "one" and "two", and one "slot" on each; the first is the head.

    Yields the cluster and the second node.
    """
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 8, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**node, "resources": {"one": 8, "slot": 1}}
    )
    try:
        yield cluster, cluster.add_node(**node, resources={"two": 8, "slot": 1})
    finally:
        ray.shutdown()
        cluster.shutdown()


def save(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Folders of tiny models by name."""
    for name in names:
        model, tokenizer = FAMILIES[name](1, eos_bias=-9.0)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: str(folder / name) for name in names}


def actors() -> list[psutil.Process]:
    """Processes of member actors on this machine, of any cluster that this process has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "MemberActor" in " ".join(process.cmdline()):
                found.append(process)
    return found
