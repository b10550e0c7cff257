"""Many mixed calls from several callers at once, each compared with its answer alone.

`python tests/support/soak.py --calls 2000 --minutes 20` prints what went wrong and how memory,
threads and open sessions developed, as JSON. Members are tiny models with random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import psutil

from adafuse import (
    AdaFuseError,
    AdaFuseWarning,
    AnswerTimeoutError,
    ConfigError,
    ContextWindowError,
    Ensemble,
    MemberError,
    PromptError,
)
from adafuse.local.member import LocalMember
from adafuse_integrations.langchain import AdaFuseLLM, ChatAdaFuse
from families import family
from faulty_members import Faulty, raises

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"enum": [1, 2]}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        },
    }
]
PROMPTS = [
    f"{start} {number}"
    for number in range(4)
    for start in (
        "Hello world, this is",
        "def add(a, b):\n    return",
        "日本語の",
        "| a | b |\n|--",
    )
]
WARM = 0.25
"""The share of calls after which memory and threads should no longer grow."""


@dataclass
class Soak:
    """What all callers share: the ensemble, the answers there should be, and what went wrong."""

    members: list[LocalMember] = field(
        default_factory=lambda: [
            LocalMember(*family(name, 0), name, prompt_cache_mb=1) for name in ("llama", "gpt2")
        ]
    )
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.ensemble = Ensemble(self.members)
        first = Faulty(self.members[0], {("draft", 2): raises(OSError)})
        self.broken = Ensemble([first, self.members[1]])
        self.faulty = first
        self.llm = AdaFuseLLM(ensemble=self.ensemble, max_tokens=20, prompt_format="raw")
        self.chat = ChatAdaFuse(ensemble=self.ensemble, max_tokens=20)
        self._expected: dict[tuple[str, str], Any] = {}
        self._alone = threading.Lock()

    def kinds(self) -> dict[str, Callable[[str], Any]]:
        """What a caller may do, by name: each returns what can be compared."""
        return {
            "invoke": lambda prompt: self.llm.invoke(prompt),
            "chat": lambda prompt: self.chat.invoke(prompt).content,
            "stream": lambda prompt: "".join(self.llm.stream(prompt)),
            "sampled": lambda prompt: self.llm.invoke(prompt, temperature=0.7, seed=3),
            "batch": lambda prompt: self.llm.batch([prompt, prompt[::-1], "x" + prompt]),
            "async": lambda prompt: asyncio.run(_collect(self.llm, prompt)),
            "tools": lambda prompt: (
                self.ensemble.generate(
                    prompt, prompt_format="chat", tools=TOOLS, tool_choice="any", max_new_tokens=60
                ).text
            ),
            "regex": lambda prompt: (
                self.ensemble.generate(prompt, regex="(yes|no), [a-z]{2,6}", max_new_tokens=30).text
            ),
            "cancelled": self.cancelled,
            "cancelled async": lambda prompt: asyncio.run(_cancelled(self.llm, prompt)),
            "dropped": self.dropped,
            "bad": self.bad,
        }

    def cancelled(self, prompt: str) -> str:
        """The first rounds of a stream that is then closed."""
        rounds = self.ensemble.stream(prompt, max_new_tokens=20)
        text = "".join(one.text for one in islice(rounds, 2))
        rounds.close()
        return text

    def dropped(self, prompt: str) -> tuple[str, list[str]]:
        """An answer that goes on without a member."""
        answer = self.broken.generate(prompt, max_new_tokens=20, on_member_error="drop")
        return answer.text, [one.member for one in answer.dropped]

    def bad(self, prompt: str) -> list[str]:
        """The kinds of errors that bad calls raise."""
        calls: list[tuple[type[AdaFuseError], Callable[[], Any]]] = [
            (ConfigError, lambda: self.llm.invoke(prompt, branches=0)),
            (PromptError, lambda: self.chat.invoke([])),
            (ContextWindowError, lambda: self.ensemble.generate(prompt * 400)),
            (AnswerTimeoutError, lambda: self.llm.invoke(prompt, timeout=1e-9)),
            (MemberError, lambda: self.broken.generate(prompt, max_new_tokens=20)),
        ]
        return [_error(kind, call) for kind, call in calls]

    def call(self, kind: str, prompt: str) -> None:
        """Do one call and compare it with the same one alone, which was done before."""
        try:
            found = self.kinds()[kind](prompt)
        except Exception as error:  # whatever it is, it is wrong
            self.wrong.append(f"{kind} {prompt!r}: {type(error).__name__}: {error}")
            return
        self.counts[kind] += 1
        if found != (expected := self._expected[kind, prompt]):
            self.wrong.append(f"{kind} {prompt!r}: {found!r}, alone {expected!r}")

    def prepare(self) -> None:
        """Every call alone."""
        for kind, ask in self.kinds().items():
            for prompt in PROMPTS:
                self._expected[kind, prompt] = ask(prompt)

    def drop_closed(self) -> None:
        """Let the faulty member forget its sessions but those that nobody has closed."""
        self.faulty.sessions[:] = [one for one in self.faulty.sessions if not one.closed]


def _error(kind: type[AdaFuseError], call: Callable[[], Any]) -> str:
    try:
        call()
    except AdaFuseError as error:
        return type(error).__name__
    return f"no {kind.__name__}"


async def _collect(llm: AdaFuseLLM, prompt: str) -> str:
    return "".join([text async for text in llm.astream(prompt)])


async def _cancelled(llm: AdaFuseLLM, prompt: str) -> str:
    stream = llm.astream(prompt)
    text = ""
    async for piece in stream:
        text += piece
        break
    await stream.aclose()  # type: ignore[attr-defined]
    return text


def run(calls: int, minutes: float = 0.0, callers: int = 8, seed: int = 0) -> dict[str, Any]:
    """Soak; `minutes` spreads the calls over as much time, 0 makes them as they come."""
    warnings.simplefilter("ignore", AdaFuseWarning)
    soak, process, samples = Soak(), psutil.Process(), []
    soak.prepare()
    rng = random.Random(seed)
    plan = [(rng.choice(list(soak.kinds())), rng.choice(PROMPTS)) for _ in range(calls)]
    begun, next_call, lock = time.monotonic(), iter(enumerate(plan)), threading.Lock()

    def sample(done: int) -> None:
        soak.drop_closed()
        gc.collect()
        samples.append(
            {
                "calls": done,
                "mib": round(process.memory_info().rss / 2**20, 1),
                "threads": threading.active_count(),
                "files": process.num_fds(),
            }
        )

    def caller() -> None:
        while True:
            with lock:
                at, one = next(next_call, (-1, None))
                if one is not None and at % max(calls // 20, 1) == 0:
                    sample(at)
            if one is None:
                return
            time.sleep(max(begun + at / calls * minutes * 60 - time.monotonic(), 0))
            soak.call(*one)

    with ThreadPoolExecutor(callers) as pool:
        for done in [pool.submit(caller) for _ in range(callers)]:
            done.result()
    sample(calls)
    warm = next(one for one in samples if one["calls"] >= WARM * calls)
    return {
        "calls": calls,
        "callers": callers,
        "minutes": round((time.monotonic() - begun) / 60, 2),
        "by kind": dict(soak.counts),
        "wrong": soak.wrong,
        "warm": warm,
        "end": samples[-1],
        "left open": soak.faulty.left_open,
        "samples": samples,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=20)
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    torch.set_num_threads(1)
    json.dump(run(given.calls, given.minutes), sys.stdout, indent=1)
