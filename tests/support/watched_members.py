"""Scripted members that can be watched, and callback handlers that take notes."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from adafuse import DecodingConfig, Ensemble, MemberUsage, Prompt
from adafuse.decoding.member import Drafts
from adafuse.testing import ScriptedMember, ScriptedSession
from waiting import PATIENCE, no_decoder_runs, until

T = TypeVar("T")
STOPPED = (asyncio.CancelledError, GeneratorExit)
"""How a run that is cancelled ends: where a stream was between two words it is closed instead."""
CODE = "def f(x):\n    if x < 5:\n\treturn '<think>'  # é 😀\n\n\nprint(f(1))\n"


@dataclass
class Watch:
    """What happened in the sessions of a member.

    Attributes:
        held: that a draft is held back.
        go_on: lets all drafts be made.
    """

    sessions: list[ScriptedSession] = field(default_factory=list)
    configs: list[DecodingConfig] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    drafts: int = 0
    most_open: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def open(self) -> int:
        return sum(not session.closed for session in self.sessions)

    def opens(self, session: ScriptedSession) -> None:
        with self._lock:
            self.sessions.append(session)
            self.most_open = max(self.most_open, self.open)


@dataclass(frozen=True)
class WatchedMember(ScriptedMember):
    """A scripted member that takes its time, and whose sessions can be looked at.

    Attributes:
        seconds: that each draft takes.
        holds: how many drafts are made before the next ones are held back.
        together: how many sessions must have been open at once before anything is drafted.
    """

    seconds: float = 0.0
    holds: float = math.inf
    together: int = 0
    watch: Watch = field(default_factory=Watch)
    fails: Callable[[str], bool] = lambda prompt: False

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = super().open(prompt, config)
        draft = session.draft

        def slow(**arguments: Any) -> Drafts:
            self._wait()
            self.watch.drafts += 1
            if self.watch.drafts > 1 and self.fails(str(prompt.messages[-1]["content"])):
                raise RuntimeError("the script broke")
            return draft(**arguments)

        session.draft = slow
        self.watch.configs.append(config)
        self.watch.prompts.append(prompt)
        self.watch.opens(session)
        return session

    def _wait(self) -> None:
        time.sleep(self.seconds)
        until(lambda: self.watch.most_open >= self.together)
        if self.watch.drafts >= self.holds:
            self.watch.held.set()
            assert self.watch.go_on.wait(PATIENCE), "nobody lets the draft be made"


def watched(
    answer: str | Callable[[str], str] = CODE,
    *,
    second: str | None = None,
    **fields: Any,
) -> tuple[Ensemble, Watch]:
    """An ensemble of a watched member that drafts one word a round, and maybe of another."""
    first = WatchedMember(answer, "first", confident=False, **fields)
    others = [ScriptedMember(second, "second", nll=2.0)] if second is not None else []
    return Ensemble([first, *others]), first.watch


def words_of(answer: str) -> list[str]:
    """The words of an answer that one uncertain member writes."""
    rounds = Ensemble([ScriptedMember(answer, confident=False)]).stream("prompt")
    return [word for one in rounds for word in one.words]


class Notes(BaseCallbackHandler):
    """Writes down what LangChain tells."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.chunks: list[Any] = []
        self.infos: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.errors: list[BaseException] = []
        self.results: list[Any] = []
        self.runs: list[Any] = []
        self.tags: list[Any] = []
        self.metadata: list[Any] = []

    def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
        self.events.append("start")
        self.runs.append(kwargs["run_id"])
        self.tags.append(kwargs.get("tags"))
        self.metadata.append(kwargs.get("metadata"))

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.words.append(token)
        self.chunks.append(chunk)
        self.infos.append(chunk.generation_info)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.events.append("end")
        self.results.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append("error")
        self.errors.append(error)


class AsyncNotes(AsyncCallbackHandler):
    """Likewise, taking a moment over each word, as one that writes to a socket would."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.busy = 0

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        assert not self.busy, "a word came before the last one was dealt with"
        self.busy += 1
        await asyncio.sleep(0)
        self.busy -= 1
        self.words.append(token)


def run(coroutine: Coroutine[Any, Any, T], seconds: float = PATIENCE) -> T:
    """Run to the end, and leave no thread behind."""
    result = asyncio.run(asyncio.wait_for(coroutine, seconds))
    until(no_decoder_runs)
    return result


def no_ids(usage: MemberUsage) -> MemberUsage:
    """Usage as traces carry it: without token ids."""
    return replace(usage, token_ids=())
