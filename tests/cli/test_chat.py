"""The command `chat`: a conversation on scripted members, whose models are loaded once."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from adafuse import DecodingConfig, Ensemble
from adafuse.cli.chat import app
from adafuse.decoding.member import Drafts
from adafuse.prompting.prompt import Prompt
from adafuse.testing import ScriptedMember, ScriptedSession
from cli_calls import PAIR, one_line_error

SAYS = {"Hi": "Hello.", "Name one.": "Plum", "Again.": "a plum\n"}


class Conversation:
    """How often models were loaded, and the conversations that they were asked to go on with."""

    def __init__(self) -> None:
        self.loads = 0
        self.prompts: list[list[tuple[str, str]]] = []

    def answer(self, prompt: Prompt) -> str:
        self.prompts.append([(m["role"], m["content"]) for m in prompt.messages])
        return SAYS[prompt.messages[-1]["content"]]


@pytest.fixture
def conversation(monkeypatch: pytest.MonkeyPatch) -> Conversation:
    seen = Conversation()
    opened = ScriptedMember.open

    def load(cls: type[Ensemble], models: Any, *, device: Any, dtype: Any, **kept: Any) -> Ensemble:
        seen.loads += 1
        return cls([ScriptedMember("", "org/a", confident=False)], DecodingConfig(**kept))

    def open_one(self: ScriptedMember, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        return opened(ScriptedMember(seen.answer(prompt), self.name), prompt, config)

    monkeypatch.setattr(Ensemble, "load", classmethod(load))
    monkeypatch.setattr(ScriptedMember, "open", open_one)
    return seen


def chat(*arguments: str, given: bytes = b"") -> Any:
    return CliRunner().invoke(app, [*arguments], input=given, catch_exceptions=False)


def test_piped_questions_are_one_conversation(conversation: Conversation) -> None:
    result = chat(*PAIR, "--system", "be brief", given=b"Hi\n\n  Name one.\r\nAgain.")
    assert result.exit_code == 0
    assert result.stdout == "Hello.\nPlum\na plum\n"  # one line's end behind each
    assert result.stderr == ""
    assert conversation.loads == 1
    assert conversation.prompts[-1] == [
        ("system", "be brief"),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Name one."),
        ("assistant", "Plum"),
        ("user", "Again."),
    ]


def test_exit_ends_it(conversation: Conversation) -> None:
    result = chat(*PAIR, given=b"Hi\n/exit\nName one.\n")
    assert (result.exit_code, result.stdout) == (0, "Hello.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--model"),
        ([*PAIR, "--branches", "0"], 2, "branches"),
        ([*PAIR, "--weight", "1"], 2, "1 times for 2 members"),
        ([*PAIR, "Hi"], 2, "Hi"),
    ],
)
def test_errors_wait_for_no_models(
    arguments: list[str], code: int, says: str, conversation: Conversation
) -> None:
    result = chat(*arguments, given=b"Hi\n")
    assert result.exit_code == code
    assert says in one_line_error(result)
    assert conversation.loads == 0


def test_input_that_is_no_text(conversation: Conversation) -> None:
    result = chat(*PAIR, given=b"Hi\n\xff\n")
    assert (result.exit_code, result.stdout) == (1, "Hello.\n")
    assert "line 2" in result.stderr


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


Line = str | Callable[[], str]


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Line]], tuple[str, str]]:
    """Hold a conversation with somebody who types these lines; what they see, and the errors."""

    def converse(lines: list[Line]) -> tuple[str, str]:
        left: Iterator[Line] = iter(lines)

        def asked(prompt: str = "") -> str:
            sys.stdout.write(prompt)
            line = next(left, None)
            if line is None:
                raise EOFError
            return line if isinstance(line, str) else line()

        shown, errors = Typed(), io.StringIO()
        monkeypatch.setenv("NO_COLOR", "1")
        for name, stream in (("stdin", Typed()), ("stdout", shown), ("stderr", errors)):
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr("builtins.input", asked)
        app([*PAIR], standalone_mode=False)
        return shown.getvalue(), errors.getvalue()

    return converse


Typing = Callable[[list[Line]], tuple[str, str]]


@pytest.mark.parametrize("end", [[], ["/exit", "Name one."], [" /exit "]])
def test_a_prompt_asks_until_the_end(
    end: list[Line], conversation: Conversation, typing: Typing
) -> None:
    shown, errors = typing(["Hi", " ", "Name one.", *end])
    assert shown == "> Hello.\n> > Plum\n> "
    assert errors.strip() == ""
    assert conversation.prompts[-1][-2:] == [("assistant", "Hello."), ("user", "Name one.")]


def test_prompts_stay_out_of_piped_answers(
    conversation: Conversation, typing: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Typed, "isatty", lambda self: self is sys.stdin)
    shown, errors = typing(["Hi"])
    assert shown == "Hello.\n"
    assert errors.startswith("> > ")


def test_a_turn_that_fails_or_is_interrupted_is_taken_back(
    conversation: Conversation, typing: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types goes on; the models are still there."""
    draft = ScriptedSession.draft

    def interrupted(self: ScriptedSession, **options: Any) -> Drafts:
        if len(conversation.prompts) == 2:
            raise KeyboardInterrupt
        return draft(self, **options)

    monkeypatch.setattr(ScriptedSession, "draft", interrupted)
    shown, errors = typing(["Hi", "Again.", "\ud800", "Name one."])
    assert shown == "> Hello.\n> > > Plum\n> "
    assert errors.startswith("error: message 2 has a lone surrogate")
    assert [text for _, text in conversation.prompts[-1]] == ["Hi", "Hello.", "Name one."]


def test_an_interrupt_at_the_prompt_ends_it(conversation: Conversation, typing: Typing) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    assert typing(["Hi", interrupt])[0] == "> Hello.\n> "


def test_an_answer_that_a_limit_ended_is_told_as_such(conversation: Conversation) -> None:
    result = chat(*PAIR, "--max-new-tokens", "2", given=b"Hi\nName one.")
    assert result.stdout == "He\nPl\n"
    assert result.stderr.count("ends at a limit: --max-new-tokens") == 2
