"""What a member asks of a Ray cluster. Knows no Ray: specifications are read without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from adafuse.errors import ConfigError
from adafuse.validation import check_float, check_seconds, refuse_unknown, show, whole

__all__ = ["LEASE", "RayOptions", "read_ray_options"]

LEASE = 600.0
"""Seconds after which a session that nobody has used is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """The `ray` field of a member's specification; each number is of one replica.

    Attributes:
        replicas: how many actors have the model, on different nodes where there are such.
        num_cpus: cores, which are also the threads that the model computes with.
        num_gpus: GPUs; a fraction shares one. 0: the model runs on the CPU.
        resources: how much of what the cluster's nodes are labelled with, by name.
        max_concurrency: how many sessions may be worked on at the same time; others wait.
        max_restarts: how often an actor that dies is started again; -1: always.
        lease: seconds after which a session that nobody has used is closed.
        start_timeout: seconds to wait for a node with room and for the model to be loaded.

    Raises:
        ConfigError: a value is out of range.
    """

    replicas: int = 1
    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    max_concurrency: int = 16
    max_restarts: int = -1
    lease: float = LEASE
    start_timeout: float = 600.0

    def __post_init__(self) -> None:
        for name, low in (("replicas", 1), ("max_concurrency", 1), ("max_restarts", -1)):
            object.__setattr__(
                self, name, whole(f"a member's ray {name}", getattr(self, name), low)
            )
        for name in ("num_cpus", "num_gpus"):
            check_float(f"a member's ray {name}", getattr(self, name), 0)
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise ConfigError(
                f"a member's ray num_gpus above 1 must be whole, not {show(self.num_gpus)}"
            )
        for name in ("lease", "start_timeout"):
            check_seconds(f"a member's ray {name}", getattr(self, name))
        if not isinstance(self.resources, Mapping):
            raise ConfigError(
                f"a member's ray resources must be numbers by name, not {show(self.resources)}"
            )
        for label, amount in self.resources.items():
            if not isinstance(label, str) or label in ("", "CPU", "GPU", "memory"):
                raise ConfigError(
                    f"a member's ray resources cannot name {show(label)}; num_cpus and num_gpus "
                    "are fields of their own"
                )
            check_float(f"a member's ray resource {label!r}", amount, 0)
        object.__setattr__(self, "resources", dict(self.resources))


def read_ray_options(given: object) -> dict[str, Any]:
    """The options as a dict with every field.

    Raises:
        ConfigError: an unknown field or a wrong value.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"a member's ray must be a mapping of options, not {show(given)}")
    refuse_unknown("ray option of a member", given, [f.name for f in fields(RayOptions)])
    return asdict(RayOptions(**given))
