"""Rounds and usage as plain JSON-able values, and back: the trace that frameworks carry.

Knows no framework. Token ids are left out: they mean nothing without the member's tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from adafuse.answer import Answer
from adafuse.events import Candidate, Dropped, Loss, MemberUsage, Round

__all__ = ["answer_info", "read_answer", "round_info", "totals", "usage_info", "word_info"]

_LEFT_OUT = {"finish_reason", "usage", "token_ids"}
_COUNTS = ("prompt_tokens", "committed_tokens", "forward_passes", "tokens_processed")


def word_info(text: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one word: its text, who drafted it, and the index of its (described) round."""
    drafters, index = list(described["drafters"]), described["index"]
    return {"text": text, "member": described["member"], "drafters": drafters, "round": index}


def answer_info(rounds: Sequence[Mapping[str, Any]], last: Round) -> dict[str, Any]:
    """Describe a whole answer by its described rounds and the round that ended it.

    Members that failed on the way are named once more, as "dropped", if there are any. Every
    chat model carries this; `read_answer` reads it.
    """
    info = {
        "words": [word_info(word, round_) for round_ in rounds for word in round_["words"]],
        "rounds": list(rounds),
        "finish_reason": last.finish_reason,
        "usage": usage_info(last.usage or {}),
    }
    if dropped := [member for round_ in rounds for member in round_["dropped"]]:
        info["dropped"] = dropped
    return info


def round_info(round_: Round) -> dict[str, Any]:
    """Describe a round: every field of `Round` but its finish reason and usage."""
    described: dict[str, Any] = _plain(round_)
    return described


def usage_info(usage: Mapping[str, MemberUsage]) -> dict[str, dict[str, Any]]:
    """Describe each member's usage: every field of `MemberUsage` but the token ids."""
    return {name: _plain(own) for name, own in usage.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.name not in _LEFT_OUT]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    # JSON has no infinity; `float` reads it.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def totals(usages: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, int]:
    """Sum described usage over members and answers.

    Every member reads the prompt and the answer in tokens of its own, and all of them count.
    """
    members = [member for usage in usages for member in usage.values()]
    prompt, completion, forwards, processed = (sum(m[name] for m in members) for name in _COUNTS)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "forward_passes": forwards,
        "tokens_processed": processed,
    }


def read_answer(info: Mapping[str, Any]) -> Answer:
    """Read an answer back from what a framework carries of it.

    Args:
        info: the generation info of a whole completion (not of one word's chunk), or the response
            metadata of a chat message.

    Raises:
        ValueError: it is not that of a whole answer.
    """
    info = info.get("fusion", info)
    missing = [key for key in ("rounds", "usage", "finish_reason") if key not in info]
    if missing:
        raise ValueError(f"not the trace of a whole answer: it lacks {', '.join(missing)}")
    rounds = [_read_round(round_) for round_ in info["rounds"]]
    usage = {name: _read_usage(own) for name, own in info["usage"].items()}
    rounds[-1] = replace(rounds[-1], finish_reason=info["finish_reason"], usage=usage)
    return Answer.fold(rounds)


def _read_round(info: Mapping[str, Any]) -> Round:
    margins = {name: tuple(map(float, own)) for name, own in info["margins"].items()}
    candidates = [_read_candidate(candidate) for candidate in info["candidates"]]
    dropped = [Dropped(**dropped) for dropped in info.get("dropped", ())]
    changes = {"candidates": candidates, "margins": margins, "dropped": dropped}
    return Round(**_tuples({**info, **changes}))


def _read_candidate(info: Mapping[str, Any]) -> Candidate:
    scores = {name: float(nll) for name, nll in info["scores"].items()}
    score = None if info["score"] is None else float(info["score"])
    return Candidate(**_tuples({**info, "scores": scores, "score": score}))


def _read_usage(info: Mapping[str, Any]) -> MemberUsage:
    return MemberUsage(**_tuples({**info, "losses": [Loss(**loss) for loss in info["losses"]]}))


def _tuples(info: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in info.items()}
