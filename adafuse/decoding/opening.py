"""Opening the sessions of one answer, all or none of them, and closing one whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from adafuse.config import DecodingConfig
from adafuse.decoding.failures import FailurePolicy
from adafuse.decoding.member import Member, Session
from adafuse.errors import AdaFuseError, ContextWindowError
from adafuse.prompting.prompt import Prompt

__all__ = ["close_session", "open_sessions"]

_log = logging.getLogger("adafuse.team")  # the name that docs/telemetry.md gives


def open_sessions(
    members: Sequence[Member], prompt: Prompt, config: DecodingConfig, failures: FailurePolicy
) -> dict[str, Session]:
    """A session of each member that can be opened, by name; all are closed where one refuses.

    Raises:
        AdaFuseError: what a member has against the prompt; the prompt is wrong, and not the member.
            A prompt beyond several windows is told of by the smallest of them.
        MemberError, TooFewMembersError: see `FailurePolicy.failed`.
    """
    sessions: dict[str, Session] = {}
    too_long: list[ContextWindowError] = []
    with ExitStack() as opened:
        for member in members:
            try:
                session = member.open(prompt, config)
            except ContextWindowError as error:
                too_long.append(error)  # the others are asked too: theirs may be smaller
            except AdaFuseError:
                if not too_long:
                    raise
            except Exception as error:
                if not too_long:
                    failures.failed(member.name, "open", error)
            else:
                sessions[member.name] = session
                opened.callback(close_session, member.name, session)
        if too_long:
            raise min(too_long, key=lambda error: error.window)
        opened.pop_all()
    return sessions


def close_session(name: str, session: Session) -> None:
    """Close a session; no answer is worse where that fails."""
    try:
        session.close()
    except Exception as error:
        _log.warning("member %r: its session could not be closed: %s", name, error)
