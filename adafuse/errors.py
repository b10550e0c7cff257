"""Every error adafuse raises on purpose, in one tree.

    AdaFuseError
    ├── ConfigError (ValueError)          a setting or member specification is wrong
    ├── PromptError                       the prompt or messages cannot be read
    │   └── ContextWindowError            the prompt leaves a member no room to answer
    ├── LoadError                         a member cannot be loaded
    │   ├── ModelNotFoundError            no such folder, file or repository
    │   ├── UnsafeCheckpointError         only a pickle checkpoint, or remote code, is there
    │   ├── UnsupportedModelError         an architecture that cannot take a token tree
    │   ├── UnsupportedTokenizerError     a tokenizer whose texts cannot be joined exactly
    │   └── ModelPreparationError         a demo model could not be downloaded or converted
    ├── MissingExtraError (ImportError)   an optional dependency is not installed
    └── DecodingError                     decoding cannot go on
        ├── NonFiniteError                every member with a weight gave NaN
        ├── IncompleteAnswerError         the answer ended before it was what it must be
        ├── AnswerTimeoutError (TimeoutError)  decoding took longer than the caller allows
        └── NoToolCallError (ValueError)  the answer calls no tool where it should

Messages are one line: what is wrong, with which member, and what to do. `AdaFuseWarning` is for
what goes on but may not be what was meant.

Of bad input, only settings are a ValueError, as pydantic wants it: applications that mend answers
catch ValueErrors, and would make an empty answer of a prompt that is too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adafuse.events import Answer

__all__ = [
    "AdaFuseError",
    "AdaFuseWarning",
    "AnswerTimeoutError",
    "ConfigError",
    "ContextWindowError",
    "DecodingError",
    "IncompleteAnswerError",
    "LoadError",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModelPreparationError",
    "NoToolCallError",
    "NonFiniteError",
    "PromptError",
    "UnsafeCheckpointError",
    "UnsupportedModelError",
    "UnsupportedTokenizerError",
]


class AdaFuseError(Exception):
    """Base class of every error that adafuse raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by what it holds: most errors make their message of other arguments."""
        return _read_error, (type(self), self.args, self.__dict__)


def _read_error(kind: type[AdaFuseError], args: tuple[Any, ...], held: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(held)
    return error


class AdaFuseWarning(UserWarning):
    """Something goes on, but perhaps not as it was meant."""


class ConfigError(AdaFuseError, ValueError):
    """A setting or a member specification is wrong or unknown."""


class PromptError(AdaFuseError):
    """The prompt or the messages cannot be read."""


class ContextWindowError(PromptError):
    """A prompt leaves no room for an answer in a member's context window."""

    def __init__(self, member: str, window: int, prompt_tokens: int) -> None:
        super().__init__(
            f"the prompt is {prompt_tokens} tokens for member {member!r}, whose context window is "
            f"{window}: no room is left for an answer; shorten the prompt or leave this member out"
        )
        self.member = member
        self.window = window
        self.prompt_tokens = prompt_tokens


class LoadError(AdaFuseError):
    """A member cannot be loaded."""


class ModelNotFoundError(LoadError):
    """There is no such folder, file or repository."""


class UnsafeCheckpointError(LoadError):
    """Loading would run code from the checkpoint: a pickle file or remote code."""


class UnsupportedModelError(LoadError):
    """The architecture cannot score a token tree over a key-value cache."""


class UnsupportedTokenizerError(LoadError):
    """The tokenizer's texts cannot be joined exactly."""


class ModelPreparationError(LoadError):
    """A demo model could not be downloaded, verified or converted."""


class MissingExtraError(AdaFuseError, ImportError):
    """An optional dependency is needed and is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'adafuse[{extra}]'")
        self.extra = extra


class DecodingError(AdaFuseError):
    """Decoding cannot go on."""


class IncompleteAnswerError(DecodingError):
    """An answer ended, by its length or a stop string, before it was what it must be.

    Attributes:
        answer: what there is of it; its `finish_reason` says why it ended.
    """

    def __init__(self, what: str, answer: Answer) -> None:
        limit = {
            "length": "at its length limit; allow more tokens, or ask for less",
            "stop_string": "at a stop string; leave that stop out",
        }
        reason = limit.get(answer.finish_reason, answer.finish_reason)
        super().__init__(f"the answer is not a whole {what}: it ended {reason}")
        self.answer = answer


class AnswerTimeoutError(DecodingError, TimeoutError):
    """Decoding one answer took longer than the caller allows."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the answer was not whole after {seconds:g} seconds of decoding; raise timeout, or "
            "ask for less"
        )
        self.seconds = seconds


class NoToolCallError(DecodingError, ValueError):
    """An answer that should call a tool calls none."""

    def __init__(self, said: str) -> None:
        short = said if len(said) <= 80 else f"{said[:80]}…"
        super().__init__(f"the answer calls no tool, but says {short!r}; require a call of it")


class NonFiniteError(DecodingError):
    """No member with a weight is left in a round: their logits or scores are not finite."""

    def __init__(self, members: tuple[str, ...], round_index: int) -> None:
        names = ", ".join(members)
        super().__init__(
            f"round {round_index}: every member with a weight gave non-finite logits ({names}); "
            "try a wider dtype such as float32 or bfloat16, or check the checkpoint"
        )
        self.members = members
        self.round_index = round_index
