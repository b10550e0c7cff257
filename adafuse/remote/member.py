"""A member whose model is elsewhere: at one host, or at several that have the same model.

Knows how to find out about a member and how to open its sessions; what they do is in `session`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from adafuse._version import __version__
from adafuse.config import DecodingConfig
from adafuse.errors import LoadError
from adafuse.prompting.prompt import Prompt
from adafuse.remote import wire
from adafuse.remote.session import RatedRemoteSession, RemoteSession
from adafuse.remote.transport import (
    Connection,
    Replica,
    Replicas,
    Transport,
    read_reply,
    seconds_left,
)

__all__ = ["RemoteMember"]

_PATIENCE = 60.0  # seconds for what needs no forward, unless a round has another limit


class RemoteMember:
    """A member at one or several hosts, which all have the same model.

    Args:
        transports: a way to each.
        timeout: seconds to wait for their answers.

    Attributes:
        window: tokens of its context window; None if it has no limit or cannot say.
        places: where its hosts are.

    Raises:
        LoadError: a host runs another version of this package.
        ConnectionError, TimeoutError: a host cannot be reached.
        AdaFuseError: a host could not load its member.
    """

    def __init__(self, transports: Sequence[Transport], timeout: float | None = _PATIENCE) -> None:
        self._transports = list(transports)
        self._replicas = Replicas(transports)
        until = None if timeout is None else time.monotonic() + timeout
        for transport in transports:
            description = read_reply(transport.call("describe", {}, seconds_left(until)))
            if description["version"] != __version__:
                raise LoadError(
                    f"member {description['name']!r}: {transport.place} runs adafuse "
                    f"{description['version']}, and this is {__version__}; install the same "
                    "version everywhere"
                )
        self.name: str = description["name"]
        self.weight: float = description["weight"]
        self.window: int | None = description["window"]
        self.places = tuple(transport.place for transport in transports)

    def __repr__(self) -> str:
        return f"RemoteMember({self.name!r}, at {', '.join(self.places)})"

    def open(self, prompt: Prompt, config: DecodingConfig) -> RemoteSession:
        """Open a session at the replica with fewest, or at the next one if that is gone.

        Raises:
            PromptError, UnsupportedTokenizerError: as the member says.
            ConnectionError: no replica can be reached.
            TimeoutError: one took too long.
        """
        arguments = {"prompt": wire.write_prompt(prompt), "config": wire.write_config(config)}
        until = time.monotonic() + (config.round_timeout or _PATIENCE)
        tried: list[Replica] = []
        lost: ConnectionError | None = None
        while (replica := self._replicas.take(tried)) is not None:
            tried.append(replica)
            connection = Connection(self._replicas, replica)
            try:
                opened, state = connection.send("open", arguments, until)
            except BaseException as error:
                connection.close()
                if not isinstance(error, ConnectionError):
                    raise
                lost = error
            else:
                kind = RatedRemoteSession if opened["rated"] else RemoteSession
                return kind(self._replicas, arguments, config, connection, opened, state)
        raise ConnectionError(f"none of its {len(self._replicas)} replicas answers: {lost}")

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special tokens; ConfigError: it cannot count."""
        return int(self._call_any("count_tokens", text=text))

    def count_prompt_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt has as the member reads it, tools included; errors likewise."""
        return int(self._call_any("count_prompt_tokens", prompt=wire.write_prompt(prompt)))

    def close(self) -> None:
        """End the hosts that this side has started."""
        for transport in self._transports:
            transport.close()

    def _call_any(self, method: str, **arguments: Any) -> Any:
        until = time.monotonic() + _PATIENCE
        lost: ConnectionError | None = None
        for replica in self._replicas.in_order():
            try:
                reply = replica.transport.call(method, arguments, seconds_left(until))
            except ConnectionError as error:
                replica.failed()
                lost = error
            else:
                return read_reply(reply)
        raise ConnectionError(f"none of its {len(self._replicas)} replicas answers: {lost}")
