"""The comparison itself: load, choose on development questions, answer the rest, score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from adafuse.answer import Answer
from adafuse.compare.answers import Ledger, answer_all
from adafuse.compare.dataset import Layout, Question, read_questions, read_rows
from adafuse.compare.metrics import guess_metric, read_metric
from adafuse.compare.model_selection import choose
from adafuse.compare.results import ComparisonResults, SystemResult, scored
from adafuse.compare.systems import (
    ENSEMBLE,
    System,
    explored,
    members_alone,
    of_members,
    together,
)
from adafuse.compare.terminal import progress_bars
from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble, Models
from adafuse.ensemble_file import read_models
from adafuse.errors import ConfigError, DecodingError, MissingExtraError
from adafuse.presets import with_preset
from adafuse.prompting.prompt import PromptFormat
from adafuse.spec import MemberSpec, as_spec
from adafuse.validation import whole

__all__ = ["Comparison", "compare"]

Rows = str | Path | Sequence[Mapping[str, Any]]


class Comparison(ComparisonResults):
    """What `compare` returns: results that can be shown as a page."""

    def save_report(self, path: str | Path) -> Path:
        """Write one HTML page that shows all of it: the outcome, tables, every question.

        Raises:
            ConfigError: the file cannot be written.
        """
        from adafuse.compare.report import save_report  # templates are read when a page is wanted

        return save_report(self, path)

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        from adafuse.compare.report import report_frame

        return report_frame(self)


def compare(
    models: Models | Ensemble,
    questions: Rows,
    *,
    metric: str | Callable[..., Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    explore: bool = False,
    dev: Rows | int | None = None,
    layout: Layout | None = None,
    folder: str | Path | None = None,
    traces: bool = False,
    seed: int = 0,
    progress: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    **settings: Any,
) -> Comparison:
    """Answer questions with each member alone, their ensemble, and variants of it; score them.

    Args:
        models: as for `Ensemble.load`, 2 to 8; or an ensemble that is loaded. Models that are
            loaded here keep nothing of earlier prompts, so that seconds compare.
        questions: rows, or a file of JSON lines; see `adafuse.compare.dataset` for their fields.
        metric: one of `METRICS`, or a function of the answer and the row; None goes by the fields.
        variants: settings by name, each tried beside the ensemble.
        explore: also try the usual variants, one change each.
        dev: development rows, a file of them, or how many of the first questions are: the best of
            all pairs (of more than two models), then the best of the ensemble and its variants are
            chosen on these, and only they are reported, beside every member alone, on the other
            questions.
        layout: how rows become prompts; default: chat messages of their usual fields.
        folder: where answers are kept, so that an interrupted comparison goes on; also
            `answers.jsonl`, `report.html` and, with `traces`, a page for each answer of an
            ensemble.
        seed: of the bootstrap.
        progress: show a bar on standard error.
        device, dtype: as for `Ensemble.load`.
        settings: decoding settings of everything that is compared, such as `max_new_tokens`.

    Raises:
        ConfigError: a row, a setting or the metric is wrong; before any model is loaded, but for
            what depends on it.
        MissingExtraError: the extra `compare` is not installed.
        DecodingError: no question could be answered at all.
        LoadError: a model cannot be loaded.
    """
    members: Any = models
    if not isinstance(models, Ensemble):
        members, of_file = read_models(models)
        settings = {**of_file, **with_preset(settings)} if of_file else settings
    layout = layout or Layout()
    reported, development = _split(read_rows(questions), dev, layout)
    judge = read_metric(metric or guess_metric(reported[0]))
    whole("seed", seed, 0)
    if find_spec("scipy") is None:
        raise MissingExtraError("a comparison", "compare")
    tried = {**(explored() if explore else {}), **(variants or {})}
    for name, change in tried.items():
        _check(name, {**settings, **change})
    _check(ENSEMBLE, settings)
    if traces and folder is None:
        raise ConfigError("traces are kept in a folder; name one")
    if len(models.members if isinstance(models, Ensemble) else members) < 2:
        raise ConfigError("a comparison takes at least two models")
    place = Path(folder) if folder is not None else None
    if place is not None:
        _make(place)
    ledger = Ledger(place / "ledger.jsonl" if place is not None else None)
    everyone, loaded = _load(members, device, dtype)
    names = [member.name for member in everyone.members]
    if twice := {ENSEMBLE, *names} & set(tried):
        raise ConfigError(f"a variant must not be named like another system: {', '.join(twice)}")
    form: PromptFormat | None = "raw" if layout.raw else None
    with progress_bars(progress) as bars:

        def run(
            what: str, systems: Sequence[System], rows: Sequence[Question]
        ) -> list[SystemResult]:
            task = bars.add_task(what, total=len(systems) * len(rows))
            pages = place / "traces" if traces and place and rows is reported else None
            answers = answer_all(
                systems, rows, ledger, models=loaded, prompt_format=form,
                advance=lambda: bars.advance(task),
                keep=_save_traces(pages, rows) if pages else None,
            )  # fmt: skip
            return [
                SystemResult(s.name, s.members, s.settings, tuple(row), scored(row, rows, judge))
                for s, row in zip(systems, answers, strict=True)
            ]

        ensemble, notes = everyone, list[str]()
        if development:
            ensemble, tried, notes = choose(everyone, tried, settings, development, run)
        common = of_members(settings, names, [member.name for member in ensemble.members])
        systems = [
            *members_alone(everyone, settings),
            together(ENSEMBLE, ensemble, common, {}),
            *(together(name, ensemble, common, change) for name, change in tried.items()),
        ]
        results = run("questions", systems, reported)
    if not any(result.scores for result in results):
        raise DecodingError(f"no question could be answered; first: {results[0].given[0].error}")
    metrics = tuple(dict.fromkeys(name for result in results for name in result.scores))
    complete = tuple(
        # one whose answers all failed has names of none
        replace(
            result,
            scores={name: (0.0,) * len(result.given) for name in metrics} | dict(result.scores),
        )
        for result in results
    )
    comparison = Comparison(reported, complete, metrics, tuple(notes), seed)
    if place is not None:
        comparison.save_answers(place / "answers.jsonl")
        comparison.save_report(place / "report.html")
    return comparison


def _split(
    rows: Sequence[Mapping[str, Any]], dev: Rows | int | None, layout: Layout
) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Questions to report, and those to choose on."""
    if dev is None:
        return read_questions(rows, layout), ()
    if isinstance(dev, int):
        count = whole("dev", dev, 1)
        if count >= len(rows):
            raise ConfigError(
                f"dev is {count} of {len(rows)} questions; some must be left to report"
            )
        return read_questions(rows[count:], layout), read_questions(rows[:count], layout)
    return read_questions(rows, layout), read_questions(read_rows(dev), layout)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used as a folder: {error.strerror}") from None


def _check(name: str, settings: Mapping[str, Any]) -> None:
    try:
        DecodingConfig().override(**settings)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _load(
    models: Sequence[str | Mapping[str, Any] | MemberSpec] | Ensemble,
    device: str | None,
    dtype: str | None,
) -> tuple[Ensemble, dict[str, Any]]:
    """An ensemble, and what is loaded by member name."""
    if isinstance(models, Ensemble):
        if device or dtype:
            raise ConfigError("device and dtype are for models; this ensemble is already loaded")
        ensemble = models
        described: dict[str, Any] = {member.name: "given" for member in models.members}
    else:
        specs = [replace(as_spec(model), prompt_cache_mb=0) for model in models]
        ensemble = Ensemble.load(specs, device=device, dtype=dtype)
        plain = [{**asdict(spec), "weight": None, "device": device, "dtype": spec.dtype or dtype}
                 for spec in specs]  # fmt: skip
        described = {
            member.name: spec for member, spec in zip(ensemble.members, plain, strict=True)
        }
    return ensemble, described


def _save_traces(folder: Path, rows: Sequence[Question]) -> Callable[[System, int, Answer], None]:
    """Saves the page of each answer of an ensemble."""
    numbers: dict[str, int] = {}  # names that differ may look alike in a path

    def keep(system: System, at: int, answer: Answer) -> None:
        if system.alone:
            return
        from adafuse.pages.trace import save_trace

        number = numbers.setdefault(system.name, len(numbers) + 1)
        name = "".join(c if c.isalnum() else "-" for c in system.name)
        place = folder / f"{number}-{name}"
        place.mkdir(parents=True, exist_ok=True)
        save_trace(answer, place / f"{at:04}.html", prompt=rows[at].prompt)

    return keep
