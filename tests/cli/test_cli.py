"""The command: `python -m adafuse`, on scripted members."""

from __future__ import annotations

import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import adafuse
from adafuse import (
    ConfigError,
    DecodingConfig,
    Ensemble,
    ModelNotFoundError,
    __version__,
)
from adafuse.cli.ask import main
from adafuse.cli.commands import COMMANDS
from adafuse.decoding.member import Drafts
from adafuse.prompting.prompt import Prompt
from adafuse.testing import ScriptedMember, ScriptedSession
from cli_calls import PAIR, Call, ask, one_line_error
from watched_members import CODE

# --- Output ---


def test_a_pipe_gets_the_exact_text_and_nothing_else(call: Call) -> None:
    result = ask("question", *PAIR)
    assert result.exit_code == 0
    assert result.stdout_bytes == CODE.encode()
    assert result.stderr == ""
    assert call.models == ["org/a", "org/b"]
    assert (call.prompt, call.prompt_format) == ("question", "chat")


@pytest.mark.parametrize("answer", ["one word", "one\n\n", "\n one"])
def test_an_answer_in_a_pipe_ends_its_line(
    answer: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ScriptedMember.open

    def open_one(self: ScriptedMember, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        return made(ScriptedMember(answer, self.name), prompt, config)

    monkeypatch.setattr(ScriptedMember, "open", open_one)
    written = ask("question", *PAIR, "--prompt-format", "raw").stdout
    assert written == answer.removesuffix("\n") + "\n"


def test_stats_go_to_standard_error(call: Call) -> None:
    result = ask("question", *PAIR, "--stats")
    assert result.stdout == CODE
    lines = result.stderr.splitlines()
    words = len(CODE.split())
    assert lines[0].split()[:2] == ["member", "words"]
    assert lines[1].split()[:4] == ["org/a", str(words + 1), "8", str(len(CODE))]
    assert lines[2].split()[:2] == ["org/b", "0"]
    assert f"{words + 2} rounds: {words + 2} unanimous, 0 scored; 0 confident" in lines[3]
    assert lines[4].startswith("1.00 tokens read per committed token")


def test_version_and_help() -> None:
    assert ask("--version").stdout == f"adafuse {__version__}\n"
    result = ask("--help", env={"COLUMNS": "200"}, color=False)
    assert result.exit_code == 0
    names = [f.name for f in fields(DecodingConfig) if f.name not in ("weights", "choices")]
    for option in (
        *names,
        "weight",
        "choice",
        "model",
        "device",
        "dtype",
        "system",
        "prompt-format",
        "stats",
    ):
        assert f"--{option.replace('_', '-')}" in result.stdout


# --- Input ---


@pytest.mark.parametrize(
    ("given", "asked"), [("héllo\n", "héllo"), ("a\r\n", "a"), (" b \n\n", " b \n")]
)
def test_a_question_from_standard_input(given: str, asked: str, call: Call) -> None:
    assert ask("-", *PAIR, input=given.encode()).exit_code == 0
    assert call.prompt == asked


def test_system_makes_a_conversation(call: Call) -> None:
    ask("question", *PAIR, "--system", "be brief")
    assert call.prompt == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "question"},
    ]
    assert call.prompt_format == "chat"
    error = one_line_error(ask("question", *PAIR, "--system", "x", "--prompt-format", "raw"))
    assert "messages are always chat" in error


@pytest.mark.parametrize("wanted", ["auto", "raw", "chat"])
def test_prompt_format(wanted: str, call: Call) -> None:
    ask("question", *PAIR, "--prompt-format", wanted)
    assert call.prompt_format == wanted


def test_short_names_are_demo_models(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = pytest.importorskip("adafuse.demo.models")
    monkeypatch.setattr(models, "prepare", lambda name: tmp_path / "made" / name)
    monkeypatch.chdir(tmp_path)
    ask("question", "-m", "smollm2", "-m", "gemma3", "-m", "gpt2", "-m", "org/smollm2")
    made = [str(tmp_path / "made" / name) for name in ("smollm2", "gemma3")]
    assert call.models == [*made, "gpt2", "org/smollm2"]
    (tmp_path / "smollm2").mkdir()
    ask("question", "-m", "smollm2")
    assert call.models == ["smollm2"]


# --- Errors ---


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["question"], 2, "--model"),
        (PAIR, 2, "question"),
        (["question", *PAIR, "--temprature", "1"], 2, "--temprature"),
        (["question", *PAIR, "--branches", "many"], 2, "--branches"),
        (["question", *PAIR, "--prompt-format", "chatty"], 2, "chatty"),
        (["question", *PAIR, "--margin-threshold", "1.5"], 2, "margin_threshold"),
        (["question", *PAIR, "--weight", "1"], 2, "1 times for 2 members"),
        (["question", *PAIR, "--stop", ""], 2, "empty string"),
        (["question", *PAIR, "more"], 2, "more"),
        (["", *PAIR], 1, "prompt is empty"),
        (["\ud800", *PAIR], 1, "surrogate"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, says: str, call: Call) -> None:
    result = ask(*arguments)
    assert result.exit_code == code
    assert says in one_line_error(result).lower() or says in result.stderr
    assert not hasattr(call, "models")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["compar", *PAIR, "--data", "questions.jsonl"], "did you mean 'compare'?"),
        (["compar", *PAIR], "did you mean 'compare'?"),
        ([*PAIR, "comapre"], "did you mean 'compare'?"),
        (["serv", "--port", "1"], "did you mean 'serve'?"),
        (["server", *PAIR], "did you mean 'serve'?"),
        (["fti", "x.jsonl"], "did you mean 'fit'?"),
        (["caht", *PAIR], "did you mean 'chat'?"),
        ([*PAIR, "serve"], "a command stands first: adafuse serve"),
        (["--seed", "1", "chat", *PAIR], "a command stands first: adafuse chat"),
    ],
)
def test_a_mistyped_command_is_no_question(arguments: list[str], meant: str, call: Call) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    error = one_line_error(result)
    assert meant in error
    assert "to ask it as a question, write it with a mark" in error
    assert not hasattr(call, "models")


@pytest.mark.parametrize(
    "question", ["compar?", "Compare", "hello", "what", "compare apples and pears", "2+2", "-"]
)
def test_questions_of_one_word_are_asked(question: str, call: Call) -> None:
    assert ask(question, *PAIR, input=b"serve").exit_code == 0
    assert call.prompt == ("serve" if question == "-" else question)


def test_commands_are_modules_with_an_app() -> None:
    for name in COMMANDS:
        assert import_module(f"adafuse.cli.{name}").app


def test_standard_input_that_is_no_text(call: Call) -> None:
    result = ask("-", *PAIR, input=b"\xff\xfe")
    assert result.exit_code == 1
    assert "not UTF-8" in one_line_error(result)


@pytest.mark.parametrize(
    ("error", "code"), [(ModelNotFoundError("no model\nat x"), 1), (ConfigError("bad dtype"), 2)]
)
def test_errors_of_loading(error: Exception, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cls: type[Ensemble], *_: Any, **__: Any) -> Ensemble:
        raise error

    monkeypatch.setattr(Ensemble, "load", classmethod(fail))
    result = ask("question", *PAIR)
    assert result.exit_code == code
    assert " ".join(str(error).split()) in one_line_error(result)


def test_an_error_while_answering_keeps_what_was_written(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = ScriptedSession.draft

    def failing(self: ScriptedSession, **options: Any) -> Drafts:
        if self.usage.committed_tokens > 3:
            raise adafuse.DecodingError("it broke")
        return draft(self, **options)

    monkeypatch.setattr(ScriptedSession, "draft", failing)
    result = ask("question", "-m", "org/a")
    assert result.exit_code == 1
    assert result.stdout == "def f(x):\n"  # the error begins a line where both are shown
    assert result.stderr == "error: it broke\n"


def test_the_entry_point(
    call: Call, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["adafuse", "question", *PAIR])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert capfd.readouterr() == (CODE, "")
    monkeypatch.setattr(sys, "argv", ["adafuse", "question"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2


def test_ctrl_c_is_quiet(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[ScriptedSession] = []
    opened = ScriptedMember.open

    def open_one(self: ScriptedMember, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = opened(self, prompt, config)
        sessions.append(session)
        if len(sessions) == 2:  # the last to open is the last to draft
            session.draft = interrupt
        return session

    def interrupt(**_: Any) -> Drafts:
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedMember, "open", open_one)
    result = ask("question", *PAIR)
    assert result.exit_code == 130
    assert (result.stdout, result.stderr) == ("", "")
    assert all(session.closed for session in sessions)


def test_a_trace_is_written_beside_the_answer(call: Call, tmp_path: Path) -> None:
    page = tmp_path / "answer.html"
    result = ask("question", *PAIR, "--trace", str(page))
    assert result.stdout_bytes == CODE.encode()
    assert "question" in page.read_text(encoding="utf-8")
    del call.prompt
    assert "no folder" in one_line_error(
        ask("?", *PAIR, "--trace", str(tmp_path / "no" / "a.html"))
    )
    assert not hasattr(call, "prompt")
