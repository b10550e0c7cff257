"""What goes between a member and its host: every value in plain form, and back.

Plain is what JSON can hold: strings, numbers (NaN and infinity too), lists, mappings with strings
as keys, True, False and None. Nothing is pickled, and no class is looked up by a name that the
other side sends, but for this project's own errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import adafuse.errors as errors
from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.constraints.constraint import Constraint
from adafuse.decoding.member import Draft, Drafts, PromptNLL
from adafuse.errors import AdaFuseError, PromptError
from adafuse.events import Loss, MemberUsage
from adafuse.prompting.prompt import Prompt

__all__ = [
    "read_config",
    "read_drafts",
    "read_error",
    "read_losses",
    "read_prompt",
    "read_prompt_nll",
    "write_config",
    "write_drafts",
    "write_error",
    "write_prompt",
    "write_prompt_nll",
    "write_usage",
]

Plain = dict[str, Any]

_COUNTS = [f.name for f in fields(MemberUsage) if f.name not in ("token_ids", "losses", "weight")]


def write_prompt(prompt: Prompt) -> Plain:
    """A prompt with its tools and its constraint.

    Raises:
        PromptError: a message or a tool holds something that is no plain value.
    """
    constraint = None if prompt.constraint is None else asdict(prompt.constraint)
    try:
        plain: Plain = json.loads(
            json.dumps({"messages": prompt.messages, "tools": prompt.tools}, default=_mapping)
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(
            f"the prompt holds what cannot be sent to another machine ({error}); give strings, "
            "numbers, lists and mappings"
        ) from None
    return {**plain, "text": prompt.text, "format": prompt.format, "constraint": constraint}


def _mapping(value: object) -> Plain:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain value")


def read_prompt(plain: Plain) -> Prompt:
    """The prompt; it was checked before it was written."""
    constraint = plain["constraint"]
    return Prompt(
        tuple(plain["messages"]),
        plain["text"],
        plain["format"],
        tuple(plain["tools"]),
        None
        if constraint is None
        else Constraint(**constraint | {"tools": tuple(constraint["tools"])}),
    )


def write_config(config: DecodingConfig) -> Plain:
    """The settings; what constrains the answer goes with the prompt."""
    names = [f.name for f in fields(config) if f.name not in CONSTRAINTS]
    return {name: getattr(config, name) for name in names}


def read_config(plain: Plain) -> DecodingConfig:
    """The settings; ConfigError: this version does not know one of them."""
    return DecodingConfig().override(**plain)


def write_drafts(drafts: Drafts) -> Plain:
    """What a member proposes."""
    return {
        "drafts": [[list(draft.words), draft.ends, draft.stop] for draft in drafts.drafts],
        "margins": list(drafts.margins),
        "confident": drafts.confident,
        "finite": drafts.finite,
    }


def read_drafts(plain: Plain) -> Drafts:
    """What a member proposes."""
    drafts = tuple(Draft(tuple(words), ends, stop) for words, ends, stop in plain["drafts"])
    return Drafts(drafts, tuple(plain["margins"]), plain["confident"], plain["finite"])


def write_usage(usage: MemberUsage) -> Plain:
    """What a session has cost so far, in numbers: ids and losses are sent once, as they come."""
    counts = {name: getattr(usage, name) for name in _COUNTS}
    return {**counts, "seconds": dict(usage.seconds)}


def read_losses(plain: Sequence[Sequence[str]]) -> list[Loss]:
    """Texts that the member could not hold, and how it reads them."""
    return [Loss(text, reads) for text, reads in plain]


def write_prompt_nll(nll: PromptNLL) -> Plain:
    """How well a member predicts its prompt."""
    return {"texts": nll.texts, "whole": nll.whole}


def read_prompt_nll(plain: Plain) -> PromptNLL:
    """How well a member predicts its prompt."""
    texts = tuple(None if nll is None else (nll[0], nll[1]) for nll in plain["texts"])
    return PromptNLL(texts, (plain["whole"][0], plain["whole"][1]))


def write_error(error: Exception) -> Plain:
    """An error by its kind, its message, and what else it says in plain values."""
    if isinstance(error, AdaFuseError):
        kinds = [kind.__name__ for kind in type(error).__mro__]
        kind = next(name for name in kinds if name in errors.__all__)
        attributes = {key: value for key, value in vars(error).items() if _is_plain(value)}
        return {"kind": kind, "message": str(error), "held": attributes}
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":  # torch's
        return {"kind": "MemoryError", "message": str(error) or name, "held": {}}
    message = f"{name}: {error}" if str(error) else name
    return {"kind": "RuntimeError", "message": message, "held": {}}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def read_error(plain: Plain) -> Exception:
    """The same error of this project, a MemoryError, or a RuntimeError that names its kind."""
    name, message = plain["kind"], plain["message"]
    if name not in errors.__all__:
        return MemoryError(message) if name == "MemoryError" else RuntimeError(message)
    error: Exception = errors.rebuilt(getattr(errors, name), (message,), plain["held"])
    return error
