"""`python -m adafuse serve` as a process: it says where it is, drains, and ends when it should."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import adafuse
from serve_setup import PATIENCE, chat, poll

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SERVER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell began us with &
from adafuse import DecodingConfig, Ensemble
from adafuse.cli import ask as cli
from adafuse.errors import LoadError
from adafuse.testing import ScriptedMember, ScriptedSession

seconds = float(sys.argv.pop(1))
draft = ScriptedSession.draft
ScriptedSession.draft = lambda self, **given: (time.sleep(seconds), draft(self, **given))[1]
member = ScriptedMember("word " * 40 + "end", name="a", confident=False)

def load(cls, specs, device=None, dtype=None, **settings):
    if specs[0].model == "bad/load":
        raise LoadError("it cannot\\nbe loaded")
    if specs[0].model == "slow/load":
        time.sleep(1000)
    return cls([member], DecodingConfig().override(**settings))

Ensemble.load = classmethod(load)
sys.argv[1:1] = ["serve"]
cli.main()
"""


@contextmanager
def started(
    seconds: float, *options: str, model: str = "org/a", **environment: str
) -> Generator[subprocess.Popen[str]]:
    """The command on a scripted member that takes its time over each word."""
    folder = str(Path(adafuse.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": folder, **environment}
    command = [sys.executable, "-c", SERVER, str(seconds), "-m", model, "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    """What it says once it answers."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving adafuse at http://127.0.0.1:"), (line, process.stderr)
    return line.split(" at ")[1].strip()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it wrote to standard error."""
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


class Caller(threading.Thread):
    """Reads a stream."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        self.words: list[str] = []
        self.finish: str | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            stream = self.client.chat.completions.create(**chat("x"), stream=True)
            for chunk in stream:
                self.words.append(chunk.choices[0].delta.content or "")
                self.finish = chunk.choices[0].finish_reason or self.finish
        except Exception as error:
            self.error = error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_lets_answers_end_and_takes_no_more(number: int) -> None:
    with started(0.02) as process:
        url = address(process)
        caller = Caller(url)
        poll(lambda: len(caller.words) > 2)
        process.send_signal(number)
        poll(lambda: refused(url))
        caller.join(PATIENCE)
        assert caller.error is None
        assert "".join(caller.words) == "word " * 40 + "end"
        assert caller.finish == "stop"
        assert ended(process) == (0, "")


def refused(url: str) -> bool:
    """Whether a new request is told to come later, or finds nobody."""
    try:
        answer = httpx.post(f"{url}/chat/completions", json=chat("y"), timeout=PATIENCE)
    except httpx.TransportError:
        return True
    if answer.status_code != 200:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "draining"
        assert answer.headers["retry-after"]
    return answer.status_code == 503


def test_answers_that_take_too_long_are_cancelled() -> None:
    with started(0.3, "--drain-seconds", "0.2") as process:
        caller = Caller(address(process))
        poll(lambda: len(caller.words) > 2)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")
        caller.join(PATIENCE)
        assert isinstance(caller.error, openai.APIError)
        assert caller.error.code == "shutting_down"
        assert caller.words


def test_a_second_signal_ends_it_at_once() -> None:
    with started(1000.0) as process:
        caller = Caller(address(process))
        url = str(caller.client.base_url).rstrip("/")
        root = url.removesuffix("/v1")
        poll(lambda: "adafuse_answers_running 1.0" in httpx.get(f"{root}/metrics").text)
        process.send_signal(signal.SIGTERM)
        poll(lambda: refused(url))
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (128 + signal.SIGTERM, "")
        caller.join(PATIENCE)
        assert caller.error is not None


def test_an_idle_server_ends_at_once() -> None:
    with started(0.0) as process, httpx.Client() as client:
        url = address(process)
        assert client.get(f"{url}/models").status_code == 200  # its connection is kept
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")


def test_a_signal_while_members_are_loaded() -> None:
    with started(0.0, "--port", str(port := free_port()), model="slow/load") as process:
        poll(lambda: is_up(port))
        assert httpx.get(f"http://127.0.0.1:{port}/ready").json() == {"status": "loading"}
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_keys_may_come_from_the_environment() -> None:
    with started(0.0, "--name", "adafuse", ADAFUSE_API_KEY="first second") as process:
        url = address(process)
        for key, status in (("first", 200), ("second", 200), ("first second", 401)):
            headers = {"authorization": f"Bearer {key}"}
            assert httpx.get(f"{url}/models", headers=headers).status_code == status


def test_settings_of_the_command_hold() -> None:
    options = ["--timeout", "0.05", "--max-concurrency", "1", "--max-queue", "0"]
    with started(0.02, *options) as process:
        url = address(process)
        late = httpx.post(f"{url}/chat/completions", json=chat("x"), timeout=PATIENCE)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "answer_timeout")


def test_whoever_may_be_reached_by_others_is_warned() -> None:
    with started(0.0, "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving adafuse at http://0.0.0.0:")
        process.send_signal(signal.SIGTERM)
        code, errors = ended(process)
        assert (code, errors.count("\n")) == (0, 1)
        assert "--api-key" in errors


@pytest.mark.parametrize(
    ("options", "model", "code", "said"),
    [
        ([], "bad/load", 1, "error: it cannot be loaded\n"),
        (["--min-members", "0"], "org/a", 2, "min_members"),
        (["--timeout", "0"], "org/a", 2, "timeout"),
        (["--max-queue", "-1"], "org/a", 2, "--max-queue"),
        (["--preset", "best"], "org/a", 2, "--preset"),
        (["--host", "no such host"], "org/a", 2, "cannot listen"),
        (["--api-key", ""], "org/a", 2, "--api-key"),
        (["--what"], "org/a", 2, "--what"),
        ([], '{"model": "org/a", "device": 3}', 2, "device"),
    ],
)
def test_what_is_wrong_is_one_line(options: list[str], model: str, code: int, said: str) -> None:
    with started(0.0, *options, model=model) as process:
        found, errors = ended(process)
    assert (found, errors.count("\n")) == (code, 1)
    assert said in errors


def test_a_port_that_is_taken() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        taken: Any = one.getsockname()[1]
        with started(0.0, "--port", str(taken)) as process:
            code, errors = ended(process)
    assert (code, errors.count("\n")) == (2, 1)
    assert f"port {taken}" in errors
