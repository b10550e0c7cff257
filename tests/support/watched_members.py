"""Scripted members that can be watched, and callback handlers that take notes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from adafuse import DecodingConfig, Ensemble, MemberUsage, Prompt
from adafuse.decoding.member import Drafts
from adafuse.testing import ScriptedMember, ScriptedSession

T = TypeVar("T")
CODE = "def f(x):\n    if x < 5:\n\treturn '<think>'  # é 😀\n\n\nprint(f(1))\n"


@dataclass
class Watch:
    """What happened in the sessions of a member."""

    sessions: list[ScriptedSession] = field(default_factory=list)
    configs: list[DecodingConfig] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    drafts: int = 0
    most_open: int = 0

    @property
    def open(self) -> int:
        return sum(not session.closed for session in self.sessions)


@dataclass(frozen=True)
class WatchedMember(ScriptedMember):
    """A scripted member that takes its time, and whose sessions can be looked at."""

    seconds: float = 0.0
    watch: Watch = field(default_factory=Watch)
    fails: Callable[[str], bool] = lambda prompt: False

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        session = super().open(prompt, config)
        draft = session.draft

        def slow(**arguments: Any) -> Drafts:
            time.sleep(self.seconds)
            self.watch.drafts += 1
            if self.watch.drafts > 1 and self.fails(str(prompt.messages[-1]["content"])):
                raise RuntimeError("the script broke")
            return draft(**arguments)

        session.draft = slow
        watch = self.watch
        watch.sessions.append(session)
        watch.configs.append(config)
        watch.prompts.append(prompt)
        watch.most_open = max(watch.most_open, watch.open)
        return session


def watched(
    answer: str | Callable[[str], str] = CODE,
    *,
    seconds: float = 0.0,
    fails: Callable[[str], bool] = lambda prompt: False,
    second: str | None = None,
    respond: Callable[[Prompt], str] | None = None,
) -> tuple[Ensemble, Watch]:
    """An ensemble of a watched member that drafts one word a round, and maybe of another."""
    first = WatchedMember(
        answer, "first", confident=False, seconds=seconds, fails=fails, respond=respond
    )
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
        await asyncio.sleep(0.001)
        self.busy -= 1
        self.words.append(token)


def run(coroutine: Coroutine[Any, Any, T], seconds: float = 5) -> T:
    """Run to the end, in time, and leave no thread behind."""
    result = asyncio.run(asyncio.wait_for(coroutine, seconds))
    deadline = time.monotonic() + 2
    while any(thread.name == "adafuse" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a decoder is still running"
        time.sleep(0.005)
    return result


def no_ids(usage: MemberUsage) -> MemberUsage:
    """Usage as traces carry it: without token ids."""
    return replace(usage, token_ids=())
