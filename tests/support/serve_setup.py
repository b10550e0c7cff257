"""A real server on a free port, in a thread of the tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from openai import AsyncOpenAI, OpenAI

from adafuse import Ensemble
from adafuse.concurrency.admission import Admission
from adafuse.serve.app import MAX_BODY_BYTES, create_app
from adafuse.serve.server import Server, listen
from adafuse.serve.service import RequestService
from waiting import PATIENCE, no_decoder_runs
from waiting import until as poll

__all__ = ["PATIENCE", "Running", "chat", "poll", "serving"]


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: of the interface, with its /v1.
        desk: where its requests are handed in.
        gate: admits its answers.
        server: the process's part.
    """

    url: str
    service: RequestService
    gate: Admission
    server: Server

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def openai(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=self.url, **{"api_key": "none", "max_retries": 0, **options})

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, **{"api_key": "none", "max_retries": 0, **options})

    def post(self, body: Any, path: str = "chat/completions", **options: Any) -> httpx.Response:
        # Without certificates, whose reading takes longer than an answer.
        given = {"json": body, "timeout": PATIENCE, "verify": False, **options}
        return httpx.post(f"{self.url}/{path}", **given)

    def metrics(self) -> str:
        return httpx.get(f"{self.root}/metrics").text

    def idle(self) -> bool:
        """Whether no answer is being decoded, and none waits."""
        return no_decoder_runs() and not (
            self.gate.running or self.gate.waiting or self.service.busy
        )


@contextmanager
def serving(
    ensemble: Ensemble | Callable[[], Ensemble],
    *,
    name: str = "adafuse",
    keys: Sequence[str] = (),
    max_concurrency: int | None = 8,
    max_queue: int | None = 64,
    max_body_bytes: int = MAX_BODY_BYTES,
    drain_seconds: float = 0.0,
    wait: bool = True,
) -> Generator[Running]:
    """Serve an ensemble, or what a function loads; nothing is left when the block ends."""
    gate = Admission(max_concurrency, max_queue)
    service = RequestService(name, gate)
    app = create_app(service, keys=keys, max_body_bytes=max_body_bytes)
    server = Server(app, service, drain_seconds=drain_seconds)
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    load = ensemble if callable(ensemble) else lambda: ensemble
    runs = server.run_until_told(listening, load)
    thread = threading.Thread(target=lambda: asyncio.run(runs), name="server")
    thread.start()
    try:
        poll(lambda: server.started and (not wait or service.state == "ready"))
        yield Running(url, service, gate, server)
    finally:
        server.shutdown_soon()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not end"
    assert (gate.running, gate.waiting, service.busy) == (0, 0, False)


def chat(text: str, **options: Any) -> dict[str, Any]:
    """The body of a request."""
    messages = [{"role": "user", "content": text}]
    return {"model": "adafuse", "messages": messages, **options}
