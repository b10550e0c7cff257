"""Answers to the harness's `generate_until` requests. Imports torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adafuse.answer import Answer
from adafuse.decoding.member import Member
from adafuse.ensemble import Ensemble
from adafuse_integrations.lm_eval.arguments import read_generation, warn
from adafuse_integrations.lm_eval.chat_template import Conversation, read_chat
from adafuse_integrations.lm_eval.truncation import ContextMember, context_members, prompt_of

__all__ = ["answer_all"]

_BATCHES = 4  # given to the ensemble at once: between two calls rows would stand idle

ContextRequest = tuple[int, str, Conversation | None]
"""A request's place, its context, and the conversation that this stands for."""


def answer_all(
    ensemble: Ensemble, requests: Sequence[tuple[str, Mapping[str, Any]]], batch_size: int
) -> Iterator[tuple[int, str]]:
    """Answer contexts by their generation arguments; yields the place of each, and its answer.

    Those with the same settings are answered together, `batch_size` at the same time.
    """
    groups: dict[str, tuple[dict[str, Any], list[ContextRequest]]] = {}
    repeats = Counter[str]()
    for at, (context, gen_kwargs) in enumerate(requests):
        settings = read_generation(gen_kwargs, ensemble.config)
        same = json.dumps([context, gen_kwargs], sort_keys=True, default=str)
        seed = settings.get("seed", ensemble.config.seed)
        if settings["temperature"] > 0 and seed is not None:  # a repeat is another draw
            settings["seed"] = seed + repeats[same]
        repeats[same] += 1
        chat = read_chat(context)
        key = f"{bool(chat and chat.prefix)} {sorted(settings.items())}"
        groups.setdefault(key, (settings, []))[1].append((at, context, chat))
    for settings, group in groups.values():
        yield from _answer_group(ensemble, settings, group, batch_size)


def _answer_group(
    ensemble: Ensemble,
    settings: Mapping[str, Any],
    requests: Sequence[ContextRequest],
    batch_size: int,
) -> Iterator[tuple[int, str]]:
    config = ensemble.config.override(**settings)
    if config.temperature > 0:
        warn(
            f"temperature {config.temperature:g} is that of a draw among candidates "
            "(docs/lm_eval.md), not of tokens: compare it with other ensembles only"
        )
    prefixed = any(chat is not None and chat.prefix for _, _, chat in requests)
    members = context_members(ensemble.members, config, prefixed=prefixed)
    truncating = Ensemble(members, config)
    step = batch_size if batch_size == 1 else batch_size * _BATCHES
    ended = 0
    for start in range(0, len(requests), step):
        part = requests[start : start + step]
        prompts = [prompt_of(context, chat) for _, context, chat in part]
        answers = truncating.generate_batch(prompts, max_concurrency=batch_size)
        for (at, _, _), answer in zip(part, answers, strict=True):
            ended += _cut_short(answer, members, config.max_new_tokens)
            yield at, answer.text
    _warn_of_contexts(members)
    if ended:
        warn(f"{ended} answers ended before max_gen_toks: a member's window was full")


def _warn_of_contexts(members: Sequence[Member]) -> None:
    """Warn of contexts that were cut, or that a model of the harness would read otherwise."""
    for member in members:
        if not isinstance(member, ContextMember):
            continue
        if member.cut:
            warn(
                f"member {member.name!r}: {len(member.cut)} contexts, of up to {max(member.cut)} "
                "tokens, lost their first tokens to leave room for the answer"
            )
        if member.spelt:
            warn(
                f"member {member.name!r}: {member.spelt} contexts spell special tokens; it "
                "reads them as text, where a model of the harness would read the tokens"
            )


def _cut_short(answer: Answer, members: Sequence[Member], limit: int) -> bool:
    """Whether a full window ended an answer; its last, unfinished character may be left out."""
    if answer.finish_reason != "length" or answer.usage[members[0].name].committed_tokens >= limit:
        return False
    for member in members:
        if isinstance(member, ContextMember):
            used = answer.usage[member.name]
            window = member.runner.window_of(used.prompt_tokens)
            if window is not None and used.prompt_tokens + used.committed_tokens + 3 >= window:
                return True
    return False
