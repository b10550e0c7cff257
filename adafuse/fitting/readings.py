"""What members think of texts: each is read once, and what came of it is kept.

A reading is kept under a key of the member's checkpoint and of the text, so that a fit that was
interrupted goes on, and one that is repeated loads no model at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adafuse.compare.records import Records, key_of
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError, ContextWindowError
from adafuse.fitting.mixture import Array
from adafuse.fitting.texts import Text
from adafuse.loading.identity import Checkpoint, identify
from adafuse.spec import MemberSpec, loadable, names_of
from adafuse.text.words import split_words, unspaced

__all__ = ["Readings", "TextReader", "read_all"]

_FORM = 1  # of what is read; readings of another one are no good
_IMPOSSIBLE = 100.0  # nats of a word whose probability is 0 or no number
_NOT_READ = ("check_memory", "name", "prompt_cache_mb", "ray", "weight")


@dataclass(frozen=True, slots=True)
class Readings:
    """Numbers of all texts that all members could read.

    Attributes:
        logprobs: (borders, members), of the text's words and ends, in nats.
        texts: (borders,), the text that a border belongs to, from 0.
        groups: (texts,), the group that a text belongs to.
        prompts: (texts, members), NLL of the prompt per character in nats.
        skipped: why texts were left out, one line each.
    """

    logprobs: Array
    texts: Any
    groups: Any
    prompts: Array
    skipped: tuple[str, ...] = ()

    def part(self, members: Sequence[int]) -> Readings:
        """Those of some members."""
        chosen = list(members)
        return Readings(
            self.logprobs[:, chosen], self.texts, self.groups, self.prompts[:, chosen], self.skipped
        )


class TextReader:
    """Members that read texts; they are loaded when a reading is not there yet.

    Args:
        members: specifications, or an ensemble that is loaded.
        device, dtype: as for `Ensemble.load`.
        path: where readings are kept; None: nowhere.
        stops: strings that end an answer too: where the texts' answers are over, tokens that begin
            with one count to the end, as drafts of them do in decoding.

    Raises:
        ConfigError: the file cannot be used, or a member has no model in this process.
    """

    def __init__(
        self,
        members: Sequence[MemberSpec] | Ensemble,
        device: str | None,
        dtype: str | None,
        path: Path | None,
        stops: Sequence[str] = (),
    ) -> None:
        self._given = members
        self._stops = tuple(stops)
        self._where: dict[str, Any] = {"device": device, "dtype": dtype}
        self._records = Records(path, "reading of a text", _check)
        if isinstance(members, Ensemble):
            self.names = [member.name for member in members.members]
            self.checkpoints = [Checkpoint(None)] * len(self.names)
            self._identities: list[Any] = [{"given": name} for name in self.names]
            return
        self.names = names_of(members)
        self.checkpoints = [identify(spec) for spec in members]
        if any(checkpoint.content is None for checkpoint in self.checkpoints):
            _ = self._members  # it is fetched, and then tells its commit
            self.checkpoints = [identify(spec) for spec in members]
        self._identities = [
            {**_loading(spec), **self._where, "content": checkpoint.content}
            for spec, checkpoint in zip(members, self.checkpoints, strict=True)
        ]

    @cached_property
    def _members(self) -> Sequence[Any]:
        loaded = self._given
        if not isinstance(loaded, Ensemble):
            plain = [replace(spec, prompt_cache_mb=0) for spec in loaded]  # nothing is read twice
            loaded = Ensemble.load(plain, **self._where)
        for member in loaded.members:
            if not hasattr(member, "runner"):
                raise ConfigError(
                    f"member {member.name!r} is a {type(member).__name__}: it has no model in this "
                    "process, so texts cannot be read with it"
                )
        return loaded.members

    def read(self, text: Text) -> list[dict[str, Any]]:
        """One reading a member: `nlls`, `prompt_nll` and `prompt_characters`.

        ContextWindowError if one has no room for the text.
        """
        described = {"prompt": asdict(text.prompt), "ends": text.ends, "form": _FORM}
        if self._stops and text.ends:
            described["stops"] = self._stops
        words = self._split(text.reference)
        return [self._reading(at, text, described, words) for at in range(len(self.names))]

    def _split(self, reference: str) -> tuple[str, ...]:
        """Words; where a script has no spaces, tokenizers say where they can be."""
        if not any(map(unspaced, reference)):
            return split_words(reference)
        key = key_of({"split": reference, "members": self._identities})
        if (kept := self._records.get(key)) is None:
            from adafuse.local.reference import split_reference

            kept = {"words": list(split_reference(reference, self._members))}
            self._records.add(key, kept)
        return tuple(kept["words"])

    def _reading(
        self, at: int, text: Text, described: dict[str, Any], words: tuple[str, ...]
    ) -> dict[str, Any]:
        key = key_of({"member": self._identities[at], "words": words, **described})
        if (kept := self._records.get(key)) is None:
            from adafuse.local.reference import read_reference  # torch is imported with models

            try:
                found = read_reference(
                    self._members[at],
                    text.prompt,
                    words,
                    ends=text.ends,
                    stops=self._stops,
                    where=text.where,
                )
            except ContextWindowError as error:
                kept = {"skipped": str(error)}
            else:
                kept = {
                    "nlls": [round(nll, 6) for nll in found.nlls],
                    "prompt_nll": round(found.prompt_nll, 6),
                    "prompt_characters": found.prompt_characters,
                }
            self._records.add(key, kept)
        return kept


def _check(record: dict[str, Any]) -> None:
    """KeyError unless a record is one of a fit."""
    if not {"words", "skipped"} & record.keys():
        _ = [*record["nlls"], record["prompt_nll"], record["prompt_characters"]]


def _loading(spec: MemberSpec) -> dict[str, Any]:
    """What of a specification changes what it reads."""
    described = loadable([spec])[0]
    options = described if isinstance(described, dict) else {"model": described}
    return {name: value for name, value in options.items() if name not in _NOT_READ}


def read_all(
    groups: Sequence[Sequence[Text]], reader: TextReader, advance: Callable[[], None]
) -> Readings:
    """Every text by every member; `advance` is called after each.

    Raises:
        ConfigError: too few texts fit into the members' context windows.
    """
    logprobs: list[Array] = []
    prompts: list[list[float]] = []
    of_text: list[int] = []
    skipped: list[str] = []
    for number, group in enumerate(groups):
        for text in group:
            readings = reader.read(text)
            advance()
            if reasons := [one["skipped"] for one in readings if "skipped" in one]:
                skipped.append(f"{text.where}: {reasons[0]}")
                continue
            nlls = np.array([one["nlls"] for one in readings], dtype=float).T
            logprobs.append(-np.nan_to_num(nlls, nan=_IMPOSSIBLE, posinf=_IMPOSSIBLE))
            prompts.append([_per_character(one) for one in readings])
            of_text.append(number)
    numbers = {number: at for at, number in enumerate(dict.fromkeys(of_text))}
    if len(numbers) < 2:
        reason = f"; first: {skipped[0]}" if skipped else ""
        raise ConfigError(f"only {len(numbers)} texts could be read, and a fit takes more{reason}")
    return Readings(
        np.concatenate(logprobs),
        np.repeat(np.arange(len(logprobs)), [len(rows) for rows in logprobs]),
        np.array([numbers[number] for number in of_text]),
        _filled(np.array(prompts)),
        tuple(skipped),
    )


def _per_character(reading: dict[str, Any]) -> float:
    if not reading["prompt_characters"] or not math.isfinite(reading["prompt_nll"]):
        return math.nan
    return float(reading["prompt_nll"] / reading["prompt_characters"])


def _filled(prompts: Array) -> Array:
    """A member that cannot rate a prompt is taken to rate it as the others do on average."""
    there = np.isfinite(prompts)
    sums = np.where(there, prompts, 0.0).sum(-1, keepdims=True)
    means = sums / np.maximum(there.sum(-1, keepdims=True), 1)
    return np.where(there, prompts, means)
