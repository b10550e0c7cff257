"""Members as actors of a Ray cluster: where they run, and how calls get there.

An actor is a `Host` on whichever node has what its member asks for. Calls and replies are JSON
text, so Ray carries strings and nothing of this project or its users is pickled, but for the class
of the actor, which Ray looks up by its name.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

from adafuse.errors import ConfigError, LoadError, MissingExtraError
from adafuse.remote import wire
from adafuse.remote.member import RemoteMember
from adafuse.spec import MemberSpec, RayOptions, as_spec, names_of

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
except ImportError:
    raise MissingExtraError("backend 'ray'", "ray") from None

__all__ = ["load_actors"]

_CONTROL = ("close", "count_prompt_tokens", "count_tokens", "describe", "open")
"""Calls without a forward: they have threads of their own, and do not wait for those that have."""
_CONTROL_THREADS = 4
_log = logging.getLogger(__name__)


class MemberActor:
    """One replica of a member; loads it when it is started, and when it is started again."""

    def __init__(self, request: str) -> None:
        # Not before: whoever starts actors needs neither torch nor transformers.
        from adafuse.loading.loader import load_members
        from adafuse.remote.host import Host

        self._host: Host | None = None
        options = json.loads(request)
        try:
            spec = as_spec(options["spec"])
            (member,) = load_members([spec], device=options["device"], dtype=options["dtype"])
            self._host = Host(member, options["lease"])
        except Exception as error:
            self._failed = {"error": wire.write_error(error)}

    def work(self, request: str) -> str:
        """A call that may take a forward, and its reply."""
        return self._reply(request)

    @ray.method(concurrency_group="control")
    def control(self, request: str) -> str:
        """Another call."""
        return self._reply(request)

    @ray.method(concurrency_group="control")
    def where(self) -> str:
        """The node that it is on, and which of the actors there it is."""
        context, util = ray.get_runtime_context(), cast("Any", ray.util)
        node, actor = context.get_node_id(), context.get_actor_id()
        return f"{util.get_node_ip_address()}/{node[:8]}/{str(actor)[:8]}"

    def _reply(self, request: str) -> str:
        method, arguments = json.loads(request)
        reply = self._failed if self._host is None else self._host.call(method, arguments)
        return json.dumps(reply)


class _Actor:
    """The way to one actor; see `adafuse.remote.transport.Transport`."""

    def __init__(self, handle: Any, place: str) -> None:
        self._handle = handle
        self.place = place

    def call(self, method: str, arguments: dict[str, Any], timeout: float | None) -> Any:
        try:
            return json.loads(ray.get(self._submit(method, arguments), timeout=timeout))
        except GetTimeoutError:
            raise TimeoutError(f"no reply from {self.place} in {timeout:g} seconds") from None
        except RayTaskError as error:
            raise RuntimeError(_one_line(error)) from error
        except RayError as error:
            raise ConnectionError(f"{self.place}: {_one_line(error)}") from error

    def post(self, method: str, arguments: dict[str, Any]) -> None:
        try:
            self._submit(method, arguments)
        except Exception as error:  # its lease ends the session in any case
            _log.debug("%s: %s was not sent: %s", self.place, method, error)

    def close(self) -> None:
        _kill([self._handle])

    def _submit(self, method: str, arguments: dict[str, Any]) -> Any:
        ask = self._handle.control if method in _CONTROL else self._handle.work
        return ask.remote(json.dumps([method, arguments]))


def load_actors(
    specs: Sequence[MemberSpec], *, device: str | None, dtype: str | None, address: str | None
) -> list[RemoteMember]:
    """Start the actors of members, wherever the cluster has room, and wait until they are loaded.

    Args:
        specs: what to load; each node reads it from its own disk, or from the hub.
        device: as for `adafuse.loading.loader.load_members`; of the node.
        dtype: likewise.
        address: of the cluster; see `Ensemble.load`.

    Raises:
        ConfigError: a specification cannot be sent, or another cluster is connected to.
        LoadError: a member cannot be loaded, or no node has room for it.
        ConnectionError: there is no such cluster, or an actor died.
    """
    named = [replace(spec, name=name) for spec, name in zip(specs, names_of(specs), strict=True)]
    options = [RayOptions(**(spec.ray or {})) for spec in named]
    requests = [
        _actor_request(spec, device, dtype, option.lease)
        for spec, option in zip(named, options, strict=True)
    ]
    _connect(address)
    started_at = time.monotonic()
    started: list[list[Any]] = []
    try:
        for option, request in zip(options, requests, strict=True):
            started.append(_start_actors(option, request))
        return [
            _await_member(spec, option, handles, started_at)
            for spec, option, handles in zip(named, options, started, strict=True)
        ]
    except BaseException:
        _kill([handle for handles in started for handle in handles])
        raise


def _connect(address: str | None) -> None:
    if ray.is_initialized():
        connected = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", connected) and not str(address).startswith("ray://"):
            raise ConfigError(
                f"this process is connected to the Ray cluster at {connected}, not {address}; call "
                "ray.shutdown() first"
            )
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # one that is started here tells nobody
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"no Ray cluster at {address or 'this machine'}: {_one_line(error)}"
        ) from error


def _actor_request(spec: MemberSpec, device: str | None, dtype: str | None, lease: float) -> str:
    fields = {**asdict(replace(spec, quantization_config=None)), "ray": None}
    quantization = spec.quantization_config
    if quantization is not None:
        to_dict = getattr(quantization, "to_dict", None)  # transformers' own have one
        fields["quantization_config"] = to_dict() if callable(to_dict) else quantization
    try:
        return json.dumps({"spec": fields, "device": device, "dtype": dtype, "lease": lease})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"member {spec.name!r}: its specification cannot be sent to another machine ({error})"
        ) from None


def _start_actors(options: RayOptions, request: str) -> list[Any]:
    remote: Any = ray.remote  # its types know no concurrency groups
    kind = remote(concurrency_groups={"control": _CONTROL_THREADS})(MemberActor)
    actor_class = kind.options(
        num_cpus=options.num_cpus,
        num_gpus=options.num_gpus,
        resources=dict(options.resources),
        max_concurrency=options.max_concurrency,
        max_restarts=options.max_restarts,
        scheduling_strategy="SPREAD" if options.replicas > 1 else "DEFAULT",
    )
    return [actor_class.remote(request) for _ in range(options.replicas)]


def _await_member(
    spec: MemberSpec, options: RayOptions, handles: Sequence[Any], started_at: float
) -> RemoteMember:
    """A member, once all of its replicas are loaded."""
    pending = [handle.where.remote() for handle in handles]
    patience = max(started_at + options.start_timeout - time.monotonic(), 0)
    ready, waiting = ray.wait(pending, num_returns=len(pending), timeout=patience)
    if waiting:
        raise LoadError(
            f"member {spec.name!r}: {len(waiting)} of {len(pending)} replicas have not started in "
            f"{options.start_timeout:g} seconds; each asks for {_requested_resources(options)}, "
            f"and free are {_free_resources()}: ask for less, add nodes, or raise start_timeout"
        )
    try:
        places = ray.get(ready)
    except RayError as error:
        raise LoadError(f"member {spec.name!r}: its actor died: {_one_line(error)}") from error
    place_of = dict(zip(ready, places, strict=True))
    return RemoteMember(
        [_Actor(handle, place_of[ref]) for handle, ref in zip(handles, pending, strict=True)]
    )


def _kill(handles: Sequence[Any]) -> None:
    """End actors; those that are gone already are fine."""
    for handle in handles:
        if ray.is_initialized():
            ray.kill(handle, no_restart=True)


def _requested_resources(options: RayOptions) -> str:
    amounts = {"CPU": options.num_cpus, "GPU": options.num_gpus, **options.resources}
    requested = [f"{amount:g} {name}" for name, amount in amounts.items() if amount]
    return ", ".join(requested) or "nothing"


def _free_resources() -> str:
    available: Any = ray.available_resources
    hidden = ("node:", "memory", "object_store")
    amounts = sorted(available().items())
    free = [f"{amount:g} {name}" for name, amount in amounts if not name.startswith(hidden)]
    return ", ".join(free) or "none"


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:200]}"
