"""Threads in which members work: one for each place, so that places work at the same time.

What takes longer than it may is left to end by itself, in a thread that nobody waits for. Knows
neither members nor what they do.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Worker", "Workers"]

T = TypeVar("T")


class Worker:
    """A thread that does one thing after another.

    It is no reason for the process to stay: Python does not wait for a daemon at exit.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="adafuse", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], object]) -> Future[object]:
        """Do some work after what was asked for before."""
        future: Future[object] = Future()
        self._jobs.put((future, work))
        return future

    def stop(self, *, join: bool = True) -> None:
        """End once all that was asked for is done; wait for that."""
        self._jobs.put(None)
        if join:
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work = job
            try:
                future.set_result(work())
            except BaseException as error:  # whoever waits raises it
                future.set_exception(error)
            del job, future, work  # they may hold a cache


@dataclass(frozen=True, slots=True)
class _Running:
    place: str
    name: str
    until: float  # monotonic seconds


class Workers:
    """The workers of one answer.

    Attributes:
        stuck: workers that took too long, by the name of whose work it was.
    """

    def __init__(self) -> None:
        self.stuck: dict[str, Worker] = {}
        self._workers: dict[str, Worker] = {}

    def run(
        self,
        queues: Mapping[str, Sequence[str]],
        work: Callable[[str], T],
        seconds_left: Callable[[str], float | None],
    ) -> tuple[dict[str, T], dict[str, BaseException]]:
        """Do work for each name, one after another at each place, all places at once.

        Args:
            queues: names by place.
            seconds_left: how many seconds a name's work may take; asked when it begins.

        Returns:
            Results by name, and errors by name: TimeoutError for what took too long.
        """
        waiting = {place: deque(names) for place, names in queues.items()}
        running: dict[Future[object], _Running] = {}
        results: dict[str, T] = {}
        failed: dict[str, BaseException] = {}

        def begin(place: str) -> None:
            if waiting[place]:
                name = waiting[place].popleft()
                seconds = seconds_left(name)
                until = math.inf if seconds is None else time.monotonic() + seconds
                future = self._worker(place).submit(lambda: work(name))
                running[future] = _Running(place, name, until)

        for place in waiting:
            begin(place)
        while running:
            try:
                done = _wait(running)
            except BaseException:  # interrupted: nobody waits for what is under way
                for task in running.values():
                    self._abandon(task)
                raise
            now = time.monotonic()
            late = {f for f, task in running.items() if f not in done and task.until <= now}
            for future in (*done, *late):
                task = running.pop(future)
                if future in late:
                    failed[task.name] = TimeoutError("it took longer than round_timeout")
                    self._abandon(task)
                elif (error := future.exception()) is not None:
                    failed[task.name] = error
                else:
                    results[task.name] = future.result()  # type: ignore[assignment]
                begin(task.place)
        return results, failed

    def close(self) -> None:
        """End all threads, and wait for those that are not stuck."""
        for worker in self._workers.values():
            worker.stop()
        for worker in self.stuck.values():
            worker.stop(join=False)
        self._workers = {}

    def _abandon(self, task: _Running) -> None:
        """Wait no more for a task; another worker takes its place."""
        self.stuck[task.name] = self._workers.pop(task.place)

    def _worker(self, place: str) -> Worker:
        """The same one each time: forwards wait for threads that come back."""
        if place not in self._workers:
            self._workers[place] = Worker()
        return self._workers[place]


def _wait(running: Mapping[Future[object], _Running]) -> set[Future[object]]:
    """Wait until something is done, or is later than it may be; returns what is done."""
    until = min(task.until for task in running.values())
    timeout = None if until == math.inf else max(until - time.monotonic(), 0)
    return wait(running, timeout, FIRST_COMPLETED).done
