"""Records: all that the rules need of every border, one JSON line a text, so that a run goes on.

A record of a text has for each border the reference's `word` (null: the answer ends), for each
member its decision, and the `candidates` of all members and the reference's own with every
member's likelihoods.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from rich.progress import Progress

from adafuse.errors import ConfigError
from adafuse.local.reference import split_reference
from adafuse.prompting.prompt import read_prompt
from benchmarks.decisions.reading import Decision, Likelihood, Reader, Reference
from benchmarks.decisions.texts import Text

__all__ = ["Ledger", "record", "run_kind"]

_GROUP = 8  # texts at once
_WORDS = 240  # of references at once


class Ledger:
    """Records of one kind in a file, each written as soon as it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        data = path.read_bytes()
        whole = data.rpartition(b"\n")[0]  # an interruption may have cut the last line
        if whole != data.removesuffix(b"\n"):
            path.write_bytes(whole + b"\n" if whole else b"")
        try:
            lines = [json.loads(line) for line in whole.split(b"\n") if line]
            self.records: dict[str, dict[str, Any]] = {one["key"]: one for one in lines}
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{path} holds a line that is no record of decisions; name another folder"
            ) from None

    def add(self, found: dict[str, Any]) -> None:
        """Keep a record."""
        self.records[found["key"]] = found
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(found, ensure_ascii=False)}\n")


def run_kind(
    readers: Mapping[str, Reader],
    texts: Iterator[Text],
    borders: int,
    ledger: Ledger,
    bars: Progress,
) -> None:
    """Read texts in their order until there are so many borders; those on record are not read."""
    members = [reader.member for reader in readers.values()]
    task, done = None, 0
    for group in _groups(texts):
        if task is None:
            task = bars.add_task(group[0].kind, total=borders)
        new = [text for text in group if text.key not in ledger.records]
        wanted, seen = [], done
        for text in new:
            if seen >= borders:
                break
            words = split_reference(text.reference, members)
            wanted.append((text, words))
            seen += len(words) + text.ends
        for found in record(readers, wanted) if wanted else ():
            ledger.add(found)
        known = [ledger.records[text.key] for text in group if text.key in ledger.records]
        done += sum(len(one["borders"]) for one in known)
        bars.update(task, completed=min(done, borders))
        if done >= borders:
            return


def _groups(texts: Iterator[Text]) -> Iterator[list[Text]]:
    """Texts that follow one another and belong together, a bounded number of them at once."""
    for _, together in groupby(texts, lambda text: text.group):
        while part := list(islice(together, _GROUP)):
            yield part


def record(
    readers: Mapping[str, Reader], wanted: Sequence[tuple[Text, tuple[str, ...]]]
) -> list[dict[str, Any]]:
    """Read texts whose prompts begin alike, and make a record of each."""
    read: dict[str, list[Reference]] = {}
    decided: dict[str, list[list[Decision]]] = {}
    try:
        for name, reader in readers.items():
            read[name] = [
                Reference(read_prompt(text.prompt), words, text.ends) for text, words in wanted
            ]
            reader.open(read[name], wanted[0][0].row)
            decided[name] = reader.decide(read[name])
        pools = [
            [
                _pool([decided[name][at][border] for name in readers], _word(words, border))
                for border in range(len(words) + text.ends)
            ]
            for at, (text, words) in enumerate(wanted)
        ]
        scored = {
            name: reader.score(
                [
                    (read[name][at], border, pool)
                    for at, rows in enumerate(pools)
                    for border, pool in enumerate(rows)
                ]
            )
            for name, reader in readers.items()
        }
    finally:
        for reader in readers.values():
            reader.close()
    rows = {name: iter(likelihoods) for name, likelihoods in scored.items()}
    return [
        {
            "key": text.key,
            "row": text.row,
            "kind": text.kind,
            "prompt": {name: read[name][at].nll for name in readers},
            "words": words,
            "stops": text.stops,
            "ends": text.ends,
            "borders": [
                _border(
                    pool,
                    _word(words, border),
                    {name: decided[name][at][border] for name in readers},
                    {name: next(rows[name]) for name in readers},
                )
                for border, pool in enumerate(pools[at])
            ],
        }
        for at, (text, words) in enumerate(wanted)
    ]


def _word(words: Sequence[str], border: int) -> str | None:
    return words[border] if border < len(words) else None


def _pool(decisions: Sequence[Decision], word: str | None) -> list[tuple[str, bool]]:
    """What all members drafted, the end, and the reference's own word, each once."""
    drafted = [(text, ends) for one in decisions for text, ends, _ in one.drafts]
    own = ("", True) if word is None else (word, False)
    return list(dict.fromkeys([*drafted, ("", True), own]))


def _border(
    pool: list[tuple[str, bool]],
    word: str | None,
    decisions: Mapping[str, Decision],
    likelihoods: Mapping[str, list[Likelihood]],
) -> dict[str, Any]:
    """One border's plain values; `drafts` are places among the candidates and ranks."""
    places = {key: at for at, key in enumerate(pool)}

    def own(found: Likelihood) -> list[float]:
        return [round(found.tokens, 5), found.count, round(found.border, 5)]

    reference = "" if word is None else word, word is None
    return {
        "word": word,
        "members": {
            name: {
                "margin": round(one.margin, 5),
                "confident": one.confident,
                "entropy": round(one.entropy, 5),
                "drafts": [[places[text, ends], rank] for text, ends, rank in one.drafts],
                "reference": own(one.reference),
            }
            for name, one in decisions.items()
        },
        "candidates": [
            {
                "text": None if ends else text,
                "likelihoods": {name: own(found[at]) for name, found in likelihoods.items()},
            }
            for at, (text, ends) in enumerate(pool)
        ],
        "reference": places[reference],
    }
