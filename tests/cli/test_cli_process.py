"""The command as a process of its own: signals, closed pipes, the module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import adafuse
from waiting import PATIENCE

SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell began us with &
from adafuse import Ensemble
from adafuse.cli import ask as cli
from adafuse.testing import ScriptedMember, ScriptedSession

seconds = float(sys.argv.pop())
draft = ScriptedSession.draft
ScriptedSession.draft = lambda self, **given: (time.sleep(seconds), draft(self, **given))[1]
member = ScriptedMember("line\\n\\n" * 2_000, confident=False)
Ensemble.load = classmethod(lambda cls, *_, **__: cls([member]))
sys.argv += ["question", "--model", "x/y", "--max-new-tokens", "1000000"]
cli.main()
"""


def start(seconds: float) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(adafuse.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def test_a_closed_pipe_is_quiet() -> None:
    with start(0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_interrupting_a_process_is_quiet() -> None:
    with start(0.01) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"line\n"  # words are written as they come
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert errors == b""
        assert set(out.split()) <= {b"line"}


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "adafuse", "question", "--model", "/no/such/folder", "--seed", "x"],
        capture_output=True,
        text=True,
        cwd=Path(adafuse.__file__).parents[1],
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--seed" in done.stderr
    assert "Traceback" not in done.stderr
