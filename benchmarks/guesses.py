"""How many forwards a guess of each kind saves: the figures of `adafuse.local.guesses.CHANCES`.

A guess saves a forward where all that is asked for at once was read before, and some of it only
because it was guessed; several share the one that they save. Counted on the demo pair with the
fixed widths, so that the counts are the same on every machine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from adafuse.local import guesses, scoring, sequence
from adafuse.local.guesses import Guess
from adafuse.local.member import LocalMember
from adafuse.local.token_tree import Node
from benchmarks.speed.members import count_tokens, real_pair
from benchmarks.speed.prompts import tasks

__all__ = ["counted", "run"]


def run(prompts: int, tokens: int) -> dict[str, Any]:
    """Count on so many prompts of each workload."""
    pair = real_pair()
    for member in pair.members:
        if isinstance(member, LocalMember):
            member.runner.cost_curve = None  # fixed widths
    listed = tasks(lambda text: count_tokens(pair, text), prompts)
    flat = [task for row in zip(*listed.values(), strict=True) for task in row]
    options = {"prompt_format": "auto", "max_new_tokens": tokens}
    return counted(pair, [(task.prompt, {**options, "stop": task.stop}) for task in flat])


def counted(ensemble: Ensemble, calls: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """By kind: guesses read, forwards saved by a first token, and what a later one saves of it.

    For `likely` the first token's is divided by the probability that its node is reached.
    """
    ledger = _Ledger()
    with ledger.kept():
        for prompt, options in track(calls, "counting"):
            ensemble.generate(prompt, **options)
            ledger.forget()
    return ledger.table()


class _Ledger:
    """Which nodes were guessed, as what, and what they have saved."""

    def __init__(self) -> None:
        self._guessed: dict[Node, tuple[str, int]] = {}  # kind, and how many tokens before it
        self._reached: Counter[str] = Counter()  # summed, of first tokens
        self._read: defaultdict[str, Counter[int]] = defaultdict(Counter)  # by kind and place
        self._saved: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def guess(self, guess: Guess, nodes: Sequence[Node]) -> None:
        """Note nodes that are read as a guess, by what guessed them first."""
        for node in nodes:
            place = node.depth - guess.node.depth - 1
            self._guessed[node] = guess.kind, place
            self._read[guess.kind][place] += 1
            if place == 0:
                self._reached[guess.kind] += guess.reached

    def ask(self, needed: Iterable[Node]) -> None:
        """Note that nodes are asked for at once: credit guesses if none of them is unread."""
        needed = list(needed)
        found = [self._guessed.pop(node) for node in needed if node in self._guessed]
        if all(node.row is not None for node in needed):
            for kind, place in found:
                self._saved[kind][place] += 1 / len(found)

    def forget(self) -> None:
        """Let go of the nodes of an answer."""
        self._guessed.clear()

    def table(self) -> dict[str, Any]:
        """The figures by kind."""
        table = {}
        for kind, read in self._read.items():
            saved = self._saved[kind]
            each = {place: saved[place] / read[place] for place in sorted(read)}
            first = saved[0] / self._reached[kind] if self._reached[kind] else 0.0
            later = [(each[at + 1], each[at]) for at in each if at + 1 in each and each[at]]
            table[kind] = {
                "read": sum(read.values()),
                "first": round(first, 3),
                "later": round(sum(a for a, _ in later) / sum(b for _, b in later), 3)
                if later
                else None,
                "by place": [round(value, 3) for value in each.values()],
            }
        return table

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Watch everything that is guessed and asked for."""
        ledger = self

        def add(self: Any, guess: Guess) -> None:
            before = len(self.nodes())
            plain["add"](self, guess)
            ledger.guess(guess, self.nodes()[before:])

        def read(self: Any, nodes: Sequence[Node]) -> None:
            ledger.ask(node for tip in nodes for node in tip.path())
            plain["read"](self, nodes)

        def read_prefix(self: Any) -> Node:
            ledger.ask([self.tree.root])
            return plain["prefix"](self)  # type: ignore[no-any-return]

        def score(sequence: Any, spans: Sequence[Any], *, borders: bool) -> None:
            last = {id(s): s.ends or (borders and not s.whole) for s in spans}
            ledger.ask(n for s in spans for n in (s.nodes if last[id(s)] else s.nodes[:-1]))
            plain["score"](sequence, spans, borders=borders)

        places: list[tuple[Any, str, str, Callable[..., Any]]] = [
            (guesses.Counted, "add", "add", add),
            (sequence.TokenSequence, "read", "read", read),
            (sequence.TokenSequence, "read_prefix", "prefix", read_prefix),
            (scoring, "_read", "score", score),
        ]
        plain = {key: getattr(owner, name) for owner, name, key, _ in places}
        for owner, name, _, watched in places:
            setattr(owner, name, watched)
        try:
            yield
        finally:
            for owner, name, key, _ in places:
                setattr(owner, name, plain[key])
