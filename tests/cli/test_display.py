"""Words on a terminal, the figures of an answer, and quiet libraries."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import adafuse
from adafuse import (
    DecodingConfig,
    Ensemble,
)
from adafuse.cli import loading
from adafuse.cli.display import AnswerPrinter, member_styles, stats_table
from adafuse.cli.quiet import quiet_libraries
from adafuse.telemetry.summary import summarise
from adafuse.testing import ScriptedMember


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(words: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **env}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    printer = AnswerPrinter(terminal, ["a", "b"])
    for word, member in words:
        printer.write(word, member)
    printer.end()
    printer.end()
    return terminal.getvalue()


def test_a_terminal_gets_words_coloured_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [("one", "a"), (" two\n", "b"), ("\tthree", "a")]
    text = printed(words, monkeypatch)
    assert text == "\x1b[36mone\x1b[0m\x1b[33m two\n\x1b[0m\x1b[36m\tthree\x1b[0m\n"
    assert printed(words, monkeypatch, NO_COLOR="1") == "one two\n\tthree\n"
    assert printed(words[:2], monkeypatch, TERM="dumb") == "one two\n"


def test_a_terminal_does_not_obey_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed([("\x1b[2J\x9b2J\r", "a")], monkeypatch, NO_COLOR="1")
    assert text == "\u241b[2J\ufffd2J\u240d\n"
    pipe = io.StringIO()
    printer = AnswerPrinter(pipe, ["a"])
    printer.write("\x1b[2J\r", "a")
    assert pipe.getvalue() == "\x1b[2J\r"
    printer.end()
    printer.end()
    assert pipe.getvalue() == "\x1b[2J\r\n"


def test_members_have_different_colours() -> None:
    styles = member_styles([f"m{i}" for i in range(8)])
    assert len({str(style) for style in styles.values()}) == 8


def test_summary_of_an_answer() -> None:
    members = [
        ScriptedMember("one two three", "a"),
        ScriptedMember("one two four", "b", confident=False, nll=3.0),
    ]
    answer = Ensemble(members).generate("prompt", preset="paper")
    summary = summarise(answer.rounds)
    assert answer.text == "one two four"
    assert summary.words_by_member == {"a": 0, "b": 3}
    assert summary.rounds == len(answer.rounds)
    assert summary.scored + summary.unanimous == summary.rounds
    assert summary.scored == sum(one.scored for one in answer.rounds) > 0
    assert summary.confident == 0
    usage = answer.usage.values()
    assert summary.tokens_read_per_committed_token == pytest.approx(
        sum(one.tokens_processed - one.prompt_tokens for one in usage)
        / sum(one.committed_tokens for one in usage)
    )
    assert summary.seconds == 0.0
    assert summarise(answer.rounds, answer.usage, seconds=1.5).seconds == 1.5
    assert stats_table(summary, answer.usage).renderables


def test_summary_of_a_stream_that_was_closed() -> None:
    stream = Ensemble([ScriptedMember("one two", "a", confident=False)]).stream("prompt")
    summary = summarise([next(stream)])
    assert summary.words_by_member == {"a": 1}
    assert (summary.rounds, summary.tokens_read_per_committed_token, summary.seconds) == (
        1,
        None,
        None,
    )
    assert summarise([]).rounds == 0


def test_libraries_are_quiet_for_a_while() -> None:
    import transformers.utils.logging  # noqa: F401  (importing it sets levels)
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled

    logger = logging.getLogger("huggingface_hub")
    before = (logger.level, os.environ.get("TRANSFORMERS_VERBOSITY"), are_progress_bars_disabled())
    with contextlib.suppress(KeyError), quiet_libraries():
        assert logger.level == logging.ERROR
        assert os.environ["TRANSFORMERS_VERBOSITY"] == "error"
        assert are_progress_bars_disabled()
        with warnings.catch_warnings(record=True) as seen:
            warnings.warn("unheard", UserWarning, stacklevel=1)
        assert not seen
        raise KeyError
    assert before == (
        logger.level,
        os.environ.get("TRANSFORMERS_VERBOSITY"),
        are_progress_bars_disabled(),
    )


BARS = """
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from adafuse.cli.quiet import quiet_libraries
with quiet_libraries():
    from transformers.utils import logging
    print(logging.is_progress_bar_enabled())
    bar = logging.tqdm(range(3), desc="Loading weights")
    list(bar)
print(logging.is_progress_bar_enabled(), not are_progress_bars_disabled())
"""


@pytest.mark.parametrize(("wish", "after"), [("0", "True True"), ("1", "False False")])
def test_bars_of_libraries_never_show(wish: str, after: str) -> None:
    """Whatever the environment wishes; it holds again afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", BARS],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": wish},
        cwd=Path(adafuse.__file__).parents[1],
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["False", after]


def test_one_bar_counts_the_members_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("adafuse.loading")

    def load(cls: type[Ensemble], models: list[str], **_: object) -> Ensemble:
        for name in models:
            log.info("member %r is loaded", name)
        return cls([ScriptedMember("one", name) for name in models])

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    monkeypatch.setenv("TERM", "xterm-256color")
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with loading.loaded(["a", "b"], DecodingConfig(), device=None, dtype=None) as made:
            assert len(made.members) == 2
            assert gc.isenabled()
        shown = stream.getvalue()
        assert ("loading members" in shown and "2/2" in shown) is stream.isatty()
        assert ("member 'a' is loaded" in shown) is stream.isatty()  # and in which dtype, and why
        assert bool(shown) is stream.isatty()
    assert (log.handlers, log.level) == ([], logging.NOTSET)
