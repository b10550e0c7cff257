"""What is logged of answers: levels, wording, and no text."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace

import pytest

from adafuse import (
    DecodingConfig,
    Ensemble,
    MemberError,
    Round,
)
from adafuse.errors import QueueFullError
from adafuse.prompting.prompt import read_prompt
from adafuse.telemetry.observer import observed
from faulty_members import Faulty, raises
from telemetry_recorder import (
    PROMPT,
    TEXTS,
    Recorded,
    level,
    observe,
    pair,
    plain,
)


def everything(recorded: Recorded, log: str) -> str:
    """All that was recorded and logged, as one text."""
    data = recorded.metrics_out.get_metrics_data()
    return "\n".join(
        [*(span.to_json() for span in recorded.spans), data.to_json() if data else "", log]
    )


def answer_in_every_way(recorded: Recorded) -> None:
    """Answers with every outcome."""
    list(observe(recorded, pair()))
    broken = pair(lambda member: Faulty(member, {("draft", 2): raises(RuntimeError())}))
    with pytest.raises(MemberError):
        list(observe(recorded, broken))
    rounds = observe(recorded, pair())
    next(rounds)
    rounds.close()


def test_no_text_is_told(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "adafuse"):
        answer_in_every_way(recorded)
    text = everything(recorded, caplog.text)
    assert "round 1" in text
    assert "adafuse.rounds" in text
    assert not [word for word in TEXTS if word in text]


def test_logs_by_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "adafuse"):
        rounds = len(list(observe(None, pair())))
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG"] * (rounds + 1) + ["INFO"]
    last = caplog.records[-1].getMessage()
    assert last.startswith(f"answer ended: stop; {rounds} rounds (")
    assert last.endswith("words: first 4, second 0")


def test_logs_warn_of_numbers_that_are_not_finite(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = [replace(round_, left_out=("second",)) for round_ in plain(pair())]

    def inner() -> Generator[Round]:
        yield from rounds

    prompt, config = read_prompt(PROMPT), DecodingConfig()
    with level("adafuse", logging.WARNING):
        list(
            observed(
                inner(), members=["first", "second"], prompt=prompt, config=config,
                telemetry=recorded.telemetry,
            )
        )  # fmt: skip
    assert len(caplog.records) == len(rounds)
    assert all("not finite: second" in record.getMessage() for record in caplog.records)
    assert recorded.metric("adafuse.member.not_finite", adafuse__member="second") == len(rounds)
    assert (recorded.span.attributes or {})["adafuse.not_finite"] == (0, len(rounds))


def test_a_failed_answer_is_logged_with_its_reason_and_not_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    members = pair(lambda member: Faulty(member, {("draft", 3): raises(RuntimeError("it"))}))
    with caplog.at_level(logging.INFO, "adafuse"), pytest.raises(MemberError):
        list(observe(None, members))
    last = caplog.records[-1].getMessage()
    assert "MemberError ('first', round 3, draft: RuntimeError: it)" in last
    assert not [word for word in TEXTS if word in last]


def test_other_errors_are_told_by_class_alone(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def inner() -> Generator[Round]:
        raise QueueFullError(1, 2)
        yield

    rounds = observed(
        inner(), members=["a"], prompt=read_prompt(PROMPT), config=DecodingConfig(),
        telemetry=recorded.telemetry,
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "adafuse"), pytest.raises(QueueFullError):
        list(rounds)
    assert caplog.records[-1].getMessage().startswith("answer ended: QueueFullError; 0 rounds")
    assert recorded.metric("adafuse.answers", error__type="QueueFullError") == 1


def test_ensembles_tell_of_every_answer(caplog: pytest.LogCaptureFixture) -> None:
    ensemble = Ensemble(pair())
    with caplog.at_level(logging.INFO, "adafuse"):
        ensemble.generate(PROMPT)
        stream = ensemble.stream(PROMPT)
        next(stream)
        stream.close()
        ensemble.generate_batch([PROMPT, PROMPT])
    outcomes = [log.getMessage().split(";")[0] for log in caplog.records]
    assert outcomes == [f"answer ended: {how}" for how in ("stop", "cancelled", "stop", "stop")]
