"""The process of a server: it listens, loads, answers, and ends when it is told to.

A first SIGTERM or SIGINT drains it: new requests are refused, answers that are being decoded may
end. A second one ends the process at once. Knows uvicorn, and of answers only whether any goes on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError
from adafuse.serve.service import RequestService

__all__ = ["ROUND_SECONDS", "Server", "listen"]

ROUND_SECONDS = 10.0
"""How long an answer that is cancelled may take to end its round."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 is any that is free. ConfigError: there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen at {host}, port {port}: {error}") from None
    listening.setblocking(False)
    return listening


class Server(uvicorn.Server):
    """Serves an application until a signal, or `shutdown_soon`, ends it.

    Answers may then go on for `drain_seconds`.
    """

    def __init__(self, app: FastAPI, service: RequestService, *, drain_seconds: float) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="off",
            log_config=None,
            server_header=False,
            # Of connections whose answers are over, and whose callers are slow to read.
            timeout_graceful_shutdown=5,
            ws="none",
        )
        super().__init__(config)
        self._service = service
        self._drain_seconds = drain_seconds
        self._loading: Future[Ensemble] | None = None

    async def run_until_told(
        self,
        listening: socket.socket,
        load: Callable[[], Ensemble],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen and answer until told to end; AdaFuseError if the ensemble cannot be loaded.

        It is loaded in a thread, while requests are told to come later; then `ready` is called.
        """
        serving = asyncio.create_task(self.serve([listening]))
        self._loading = _in_thread(load)
        loading = asyncio.wrap_future(self._loading)
        try:
            either: set[asyncio.Future[Any]] = {serving, loading}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                self._service.open(loading.result())
                if self._service.state == "ready":
                    ready()
        except BaseException:
            self.should_exit = True
            raise
        finally:
            loading.cancel()
            await serving

    @property
    def left_behind(self) -> bool:
        """Whether something still runs in a thread that does not end."""
        loading = self._loading is not None and not self._loading.done()
        return self._service.busy or loading

    def shutdown_soon(self) -> None:
        """Drain, and end; from any thread."""
        self._service.drain()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base class, once answers have ended; until then new requests are refused."""
        self._service.drain()
        if not await self._service.drained(self._drain_seconds):
            self._service.cancel()
            await self._service.drained(ROUND_SECONDS)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """In place of the base class's, which ends the process by the signal in the end."""
        if self.should_exit:
            os._exit(128 + sig)  # as shells have it; nothing is waited for
        self.shutdown_soon()


def _in_thread(load: Callable[[], Ensemble]) -> Future[Ensemble]:
    """Load in a thread that is no reason for the process to stay."""
    future: Future[Ensemble] = Future()
    future.set_running_or_notify_cancel()  # who waits for it may give up; the thread goes on

    def run() -> None:
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="adafuse-load", daemon=True).start()
    return future
