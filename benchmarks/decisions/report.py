"""What the rules come to: hits and nats per word by kind and ensemble, with their intervals."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.stats import bootstrap

from adafuse.errors import ConfigError
from benchmarks.decisions.borders import Border, borders_of
from benchmarks.decisions.fitting import cross_fitted, halves
from benchmarks.decisions.reading import BRANCHES
from benchmarks.decisions.records import Ledger
from benchmarks.decisions.rules import Outcome, outcomes, weighted

__all__ = ["BRANCHED", "compared", "differences", "write_report"]

Floats = npt.NDArray[np.float64]
RESAMPLES = 2000
BRANCHED = 3  # the paper's, and of the fitted rules
BASE = "paper, B=3"
ALL = "all kinds"


def write_report(
    out: Path, kinds: Sequence[str], seed: int, command: str, console: Console
) -> None:
    """Compare rules on what is on record, show tables, and write `report.json`.

    Raises:
        ConfigError: there is nothing on record.
    """
    made_of, names, found = _read(out, kinds)
    report: dict[str, Any] = {"command": command, "seed": seed, "run": made_of, "kinds": {}}
    report["resamples"] = RESAMPLES
    for members in _ensembles(len(names)):
        label = " + ".join(names[at] for at in members)
        for kind, rules in compared(found, names, members, seed).items():
            borders = found[kind]
            entry = report["kinds"].setdefault(
                kind, {"borders": len(borders), "texts": len({b.row for b in borders}),
                       "ensembles": {}}
            )  # fmt: skip
            entry["ensembles"][label] = differences(borders, rules, seed)
    for kind, entry in report["kinds"].items():
        for label, rows in entry["ensembles"].items():
            title = f"{kind}, {label}: {entry['borders']} borders of {entry['texts']} texts"
            console.print(_table(title, rows))
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (out / "report.json").write_text(f"{text}\n", encoding="utf-8")
    console.print(f"Written to {out.name}/report.json")


def _read(
    out: Path, kinds: Sequence[str]
) -> tuple[dict[str, Any], list[str], dict[str, list[Border]]]:
    """What a run was made of, its members, and the borders of each kind."""
    file = out / "run.json"
    if not file.exists():
        raise ConfigError(f"{out} holds no records; run without --report first")
    made_of = json.loads(file.read_text(encoding="utf-8"))
    found = {}
    for kind in kinds:
        place = out / f"{kind}.jsonl"
        if place.exists() and (records := Ledger(place).records):
            found[kind] = borders_of(records.values(), made_of["members"])
    if not found:
        raise ConfigError(f"{out} holds no records of {', '.join(kinds)}")
    return made_of, made_of["members"], found


def _ensembles(count: int) -> list[tuple[int, ...]]:
    """Every pair, and all together."""
    sizes = dict.fromkeys([2, count]) if count > 1 else [1]
    return [one for size in sizes for one in itertools.combinations(range(count), size)]


def compared(
    found: Mapping[str, Sequence[Border]],
    names: Sequence[str],
    members: Sequence[int],
    seed: int,
) -> dict[str, dict[str, Outcome | tuple[Outcome, Any]]]:
    """Outcomes by kind and rule; of a fitted rule also what was fitted."""
    columns, own = list(members), [names[at] for at in members]
    result: dict[str, dict[str, Any]] = {}
    for kind, borders in found.items():
        rules: dict[str, Any] = {}
        for branches in range(1, BRANCHES + 1):
            plain = outcomes(borders, columns, own, branches)
            rules |= {f"{rule}, B={branches}": outcome for rule, outcome in plain.items()}
        result[kind] = rules | _fitted("", borders, columns, seed)
    if len(found) > 1:
        together = [border for borders in found.values() for border in borders]
        fitted = _fitted(f" on {ALL}", together, columns, seed)
        ends = list(itertools.accumulate(map(len, found.values()), initial=0))
        for kind, begin, end in zip(found, ends, ends[1:], strict=False):
            for rule, (outcome, told) in fitted.items():
                part = Outcome(outcome.hits[begin:end], outcome.nats[begin:end])
                result[kind][rule] = part, told
    return result


def _fitted(
    where: str, borders: Sequence[Border], columns: list[int], seed: int
) -> dict[str, tuple[Outcome, Any]]:
    """Mixtures with weights fitted to the other half of the texts, with and without features."""
    logprobs = np.array([border.words(BRANCHED)[border.reference, columns] for border in borders])
    prompt = np.array([border.rates[columns] for border in borders])
    entropy = np.array([border.entropies[columns] for border in borders])
    first = halves(borders, seed)
    result = {}
    for name, features in (
        ("", []),
        (" by prompt", [prompt]),
        (" by entropy", [entropy]),
        (" by prompt and entropy", [prompt, entropy]),
    ):
        weights, told = cross_fitted(logprobs, first, features)
        for branches in range(1, BRANCHES + 1) if not features else [BRANCHED]:
            rule = f"words mixture fitted{where}{name}, B={branches}"
            result[rule] = weighted(borders, columns, branches, weights), told
    return result


def differences(
    borders: Sequence[Border], rules: Mapping[str, Any], seed: int
) -> dict[str, dict[str, Any]]:
    """Percent of hits and nats per word of every rule, and how they differ from two others.

    These are `paper` and the best member: of hits the one whose own greedy word hits most often, of
    nats the one that finds the references likeliest; `against` has [difference, low, high].
    """
    plain = {rule: one[0] if isinstance(one, tuple) else one for rule, one in rules.items()}
    rows = [border.row for border in borders]
    count, hits = _by_row(rows, {rule: one.hits for rule, one in plain.items()})
    _, nats = _by_row(rows, {rule: one.nats for rule, one in plain.items() if one.nats})
    alone = [rule for rule in plain if rule.startswith("greedy ") and rule.endswith("B=3")]
    best = max(alone, key=lambda rule: hits[rule].sum())
    likeliest = min(alone, key=lambda rule: nats[rule].sum())
    against = {
        "paper": _against(count, hits, BASE, 100, seed),
        "best member": _against(count, hits, best, 100, seed),
        "nats of the best member": _against(count, nats, likeliest, 1, seed),
    }
    result = {}
    for rule, one in rules.items():
        entry: dict[str, Any] = {"hits": round(100 * float(hits[rule].sum() / count.sum()), 2)}
        if rule in nats:
            entry["nats"] = round(float(nats[rule].sum() / count.sum()), 4)
        entry["against"] = {name: found[rule] for name, found in against.items() if rule in found}
        entry |= {"fitted": one[1]} if isinstance(one, tuple) else {}
        entry |= {"best member": True} if rule in (best, likeliest) else {}
        result[rule] = entry
    return result


def _by_row(
    rows: Sequence[str], values: Mapping[str, Sequence[float]]
) -> tuple[Floats, dict[str, Floats]]:
    """Borders of each row, (rows,), and sums over them by rule."""
    _, places = np.unique(np.array(rows), return_inverse=True)
    count = np.bincount(places).astype(float)
    return count, {rule: np.bincount(places, np.array(own)) for rule, own in values.items()}


def _against(
    count: Floats, sums: Mapping[str, Floats], base: str, scale: float, seed: int
) -> dict[str, list[float]]:
    """Mean difference a border to one rule with its paired interval over rows, by rule."""
    others = [rule for rule in sums if rule != base]
    diffs = np.stack([sums[rule] - sums[base] for rule in others])  # (rules, rows)

    def mean(diff: Floats, size: Floats, axis: int = -1) -> Any:
        return diff.sum(axis=axis) / size.sum(axis=axis)

    means = mean(diffs, count[None, :])
    low = high = means
    if len(count) > 1:
        interval = bootstrap(
            (diffs, np.broadcast_to(count, diffs.shape)), mean, n_resamples=RESAMPLES, axis=-1,
            method="percentile", paired=True, vectorized=True, batch=100,
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
        low, high = interval.low, interval.high
    return {
        rule: [round(scale * float(value), 4) for value in three]
        for rule, three in zip(others, zip(means, low, high, strict=True), strict=True)
    }


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    drawn = Table(title=title, title_justify="left", pad_edge=False, header_style="bold")
    drawn.add_column("rule")
    for column in ("hits %", "to paper", "to best member", "nats a word", "to best member"):
        drawn.add_column(column, justify="right")
    for rule, entry in rows.items():
        if not _shown(rule):
            continue
        against = entry["against"]
        drawn.add_row(
            escape(rule.removesuffix(f", B={BRANCHED}")),
            f"{entry['hits']:.1f}",
            _signed(against.get("paper"), 1),
            _signed(against.get("best member"), 1),
            f"{entry['nats']:.3f}" if "nats" in entry else "",
            _signed(against.get("nats of the best member"), 3),
        )
    return drawn


def _shown(rule: str) -> bool:
    """Rules with the usual branches, and with others the two that count."""
    name, _, branches = rule.rpartition(", B=")
    return branches == str(BRANCHED) or name in ("paper", "words mixture", "words mixture fitted")


def _signed(three: Sequence[float] | None, digits: int) -> str:
    if three is None:
        return ""
    mean, low, high = three
    mark = " *" if low > 0 or high < 0 else ""
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{mark}"
