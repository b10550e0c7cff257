"""Four kinds of work, two settings, two pairs: passes, tokens read, and times.

All ensembles and all members answer a prompt in turn before the next prompt comes, and each prompt
begins with another ensemble, so that a machine whose speed drifts favours nobody. A repeat is
another prompt of the same workload.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from benchmarks.speed.figures import Turn, cell
from benchmarks.speed.prompts import Task, tasks
from benchmarks.speed.timing import Timed, timed, token_times

__all__ = ["SETTINGS", "run"]

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "words": {},
    "paper": {"preset": "paper"},
    "branches=3": {"branches": 3},
}
PLAIN: Mapping[str, Mapping[str, Any]] = {"words, no speculation": {"speculation": False}}


def run(
    pairs: Mapping[str, Ensemble],
    count: Callable[[str], int],
    prompts: int,
    tokens: int,
    plain: bool,
) -> dict[str, Any]:
    """Figures by pair, setting and workload; with `plain` also those without speculation."""
    settings = {**SETTINGS, **(PLAIN if plain else {})}
    names = [(pair, setting) for pair in pairs for setting in settings]
    everyone = {id(m): m for pair in pairs.values() for m in pair.members}
    members = [member for member in everyone.values() if isinstance(member, LocalMember)]
    _warm_up(pairs, members)
    found: dict[str, Any] = {pair: {setting: {} for setting in settings} for pair in pairs}
    for workload, listed in tasks(count, prompts).items():
        turns: dict[tuple[str, str], list[Turn]] = {name: [] for name in names}
        for number, task in enumerate(track(listed, workload)):
            ours: dict[tuple[str, str], Timed] = {}
            for pair, setting in names[number % len(names) :] + names[: number % len(names)]:
                ours[pair, setting] = _answer(pairs[pair], task, tokens, settings[setting])
            alone = _alone(members, task, list(ours.values()))
            for name, one in ours.items():
                turns[name].append(_turn(one, alone))
        for (pair, setting), all_ in turns.items():
            found[pair][setting][workload] = cell(all_)
    return found


def _answer(ensemble: Ensemble, task: Task, tokens: int, setting: Mapping[str, Any]) -> Timed:
    return timed(
        ensemble,
        task.prompt,
        prompt_format="auto",
        stop=task.stop,
        max_new_tokens=tokens,
        **setting,
    )


def _alone(members: list[LocalMember], task: Task, answers: list[Timed]) -> dict[str, list[float]]:
    """Each member's token times, for as many tokens as it committed in its longest answer."""
    prompt = read_prompt(task.prompt, "auto")
    found = {}
    for member in members:
        usages = [one.answer.usage.get(member.name) for one in answers]
        longest = max(usage.committed_tokens for usage in usages if usage is not None)
        found[member.name] = token_times(member, prompt, max(longest, 1))
    return found


def _turn(one: Timed, alone: Mapping[str, list[float]]) -> Turn:
    """An answer beside the times of its members; one without tokens is worth its prefill."""
    usage = one.answer.usage
    return Turn(
        one,
        {name: alone[name][max(usage[name].committed_tokens, 1) - 1] for name in usage},
        {name: alone[name][0] for name in usage},
    )


def _warm_up(pairs: Mapping[str, Ensemble], members: list[LocalMember]) -> None:
    for pair in pairs.values():
        pair.generate("Warm up.", max_new_tokens=4)
    for member in members:
        token_times(member, read_prompt("Warm up."), 4)
