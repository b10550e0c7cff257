"""Rounds and usage as plain JSON-able values, and back: the trace that frameworks carry.

Knows no framework. Token ids are left out: they mean nothing without the member's tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from adafuse.answer import Answer
from adafuse.events import Candidate, Dropped, Loss, MemberUsage, Round

__all__ = ["answer_info", "read_answer", "round_info", "totals", "usage_info", "word_info"]

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
    words = [word_info(word, round_) for round_ in rounds for word in round_["words"]]
    usage = usage_info(last.usage or {})
    reason = last.finish_reason
    info = {"words": words, "rounds": list(rounds), "finish_reason": reason, "usage": usage}
    if dropped := [member for round_ in rounds for member in round_["dropped"]]:
        info["dropped"] = dropped
    return info


def round_info(round_: Round) -> dict[str, Any]:
    """Describe a round: every field of `Round` but its finish reason and usage."""
    return {
        "index": round_.index,
        "text": round_.text,
        "words": list(round_.words),
        "ends": round_.ends,
        "member": round_.member,
        "drafters": list(round_.drafters),
        "confident": round_.confident,
        "unanimous": round_.unanimous,
        "scored": round_.scored,
        "forced": round_.forced,
        "led": round_.led,
        "margins": {name: list(margins) for name, margins in round_.margins.items()},
        "candidates": [_candidate_info(candidate) for candidate in round_.candidates],
        "winner": round_.winner,
        "left_out": list(round_.left_out),
        "dropped": [asdict(dropped) for dropped in round_.dropped],
    }


def _candidate_info(candidate: Candidate) -> dict[str, Any]:
    return {
        "text": candidate.text,
        "ends": candidate.ends,
        "words": list(candidate.words),
        "drafters": list(candidate.drafters),
        "scores": {name: _written(score) for name, score in candidate.scores.items()},
        "score": None if candidate.score is None else _written(candidate.score),
    }


def _written(score: float) -> float | str:
    """A score as JSON can hold it, which has no infinity; `float` reads it."""
    return score if math.isfinite(score) else str(score)


def usage_info(usage: Mapping[str, MemberUsage]) -> dict[str, dict[str, Any]]:
    """Describe each member's usage: every field of `MemberUsage` but the token ids."""
    described = {}
    for name, own in usage.items():
        info = {f.name: getattr(own, f.name) for f in fields(own) if f.name != "token_ids"}
        info["seconds"] = dict(own.seconds)
        info["losses"] = [{"text": loss.text, "reads": loss.reads} for loss in own.losses]
        described[name] = info
    return described


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
    return Round(
        **{
            **info,
            "words": tuple(info["words"]),
            "drafters": tuple(info["drafters"]),
            "candidates": tuple(_read_candidate(item) for item in info["candidates"]),
            "margins": {name: tuple(margins) for name, margins in info["margins"].items()},
            "left_out": tuple(info["left_out"]),
            "dropped": tuple(Dropped(**dropped) for dropped in info.get("dropped", ())),
        }
    )


def _read_candidate(info: Mapping[str, Any]) -> Candidate:
    score = info["score"]
    return Candidate(
        **{
            **info,
            "words": tuple(info["words"]),
            "drafters": tuple(info["drafters"]),
            "scores": {name: float(nll) for name, nll in info["scores"].items()},
            "score": None if score is None else float(score),
        }
    )


def _read_usage(info: Mapping[str, Any]) -> MemberUsage:
    return MemberUsage(**{**info, "losses": tuple(Loss(**loss) for loss in info["losses"])})
