"""Members behind a wire that carries JSON text, in one process, and what goes wrong on the way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from adafuse import Ensemble
from adafuse.decoding.member import Member
from adafuse.local.member import LocalMember
from adafuse.remote.host import Host
from adafuse.remote.member import RemoteMember
from families import family

__all__ = ["Fault", "Line", "behind_wires"]

Fault = Callable[[str, int], str | float | None]
"""Of a method and how many calls came before, on this line: None; "lost" before it gets there;
"unheard", where only the reply is lost; "dies", where the host forgets everything and is gone; or
seconds that the call is held up."""


class Line:
    """The way to one host; whatever goes over it has been JSON text.

    Attributes:
        host: None once it is gone.
        calls: the methods that were called, in order.
    """

    def __init__(self, host: Host, place: str = "line", fault: Fault = lambda method, at: None):
        self.host: Host | None = host
        self.place = place
        self.fault = fault
        self.calls: list[str] = []
        self.counted = threading.Lock()

    def call(self, method: str, arguments: dict[str, Any], timeout: float | None) -> Any:
        with self.counted:
            at = len(self.calls)
            self.calls.append(method)
        fault = self.fault(method, at)
        if fault == "dies":
            self.host = None
        if fault == "lost" or self.host is None:
            raise ConnectionError(f"{self.place} is gone")
        if isinstance(fault, int | float):
            time.sleep(min(fault, timeout or fault))
            if timeout is not None and fault >= timeout:
                raise TimeoutError
        reply = json.loads(json.dumps(self.host.call(method, json.loads(json.dumps(arguments)))))
        if fault == "unheard":
            raise ConnectionError("the reply was lost")
        return reply

    def post(self, method: str, arguments: dict[str, Any]) -> None:
        if self.host is not None:
            self.host.call(method, json.loads(json.dumps(arguments)))

    def close(self) -> None:
        if self.host is not None:
            self.host.close()
            self.host = None


def behind_wires(
    members: Sequence[Member], replicas: int = 1, fault: Fault = lambda method, at: None
) -> tuple[Ensemble, list[list[Line]]]:
    """The members as remote ones, and their lines; `fault` is of the first line of each."""
    lines = [
        [
            Line(Host(member), f"{member.name}/{at}", *([fault] if at == 0 else []))
            for at in range(replicas)
        ]
        for member in members
    ]
    ensemble = Ensemble([RemoteMember(own) for own in lines])
    for own in lines:
        for line in own:
            line.calls.clear()
    return ensemble, lines


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is <|eot_id|> a token? é 😀"},
]


TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"what": {"enum": ["a", "b"]}}},
    },
}


def locals_(*names: str, cache: int = 0) -> list[LocalMember]:
    return [
        LocalMember(*family(name, 1), f"{name}-{at}", prompt_cache_mb=cache)
        for at, name in enumerate(names)
    ]
