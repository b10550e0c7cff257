"""Every error adafuse raises on purpose, in one tree.

    AdaFuseError
    ├── ConfigError (ValueError)          a setting or member specification is wrong
    ├── PromptError                       the prompt or messages cannot be read
    │   ├── ContextWindowError            the prompt leaves a member no room to answer
    │   └── PromptMemoryError (MemoryError)  the prompt needs more memory than there is
    ├── LoadError                         a member cannot be loaded
    │   ├── ModelNotFoundError            no such folder, file or repository
    │   ├── UnsafeCheckpointError         only a pickle checkpoint, or remote code, is there
    │   ├── UnsupportedModelError         an architecture that cannot take a token tree
    │   ├── UnsupportedTokenizerError     a tokenizer whose texts cannot be joined exactly
    │   ├── LoadMemoryError (MemoryError) its weights need more memory than there is
    │   └── ModelPreparationError         a demo model could not be downloaded or converted
    ├── QueueFullError                    too many answers are asked for at once
    ├── MissingExtraError (ImportError)   an optional dependency is not installed
    └── DecodingError                     decoding cannot go on
        ├── ContextFullError (MemoryError)  answers share a llama.cpp context that is full
        ├── MemberError                   a member failed
        │   ├── MemberLostError (ConnectionError)  its process or machine cannot be reached
        │   ├── MemberMemoryError (MemoryError)    it ran out of memory
        │   └── MemberTimeoutError (TimeoutError)  it took longer than round_timeout
        ├── TooFewMembersError            fewer than min_members are left
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

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adafuse.events import FinishedAnswer

__all__ = [
    "AdaFuseError",
    "AdaFuseWarning",
    "AnswerTimeoutError",
    "ConfigError",
    "ContextFullError",
    "ContextWindowError",
    "DecodingError",
    "IncompleteAnswerError",
    "LoadError",
    "LoadMemoryError",
    "MemberError",
    "MemberLostError",
    "MemberMemoryError",
    "MemberTimeoutError",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModelPreparationError",
    "NoToolCallError",
    "NonFiniteError",
    "PromptError",
    "PromptMemoryError",
    "QueueFullError",
    "TooFewMembersError",
    "UnsafeCheckpointError",
    "UnsupportedModelError",
    "UnsupportedTokenizerError",
]


class AdaFuseError(Exception):
    """Base class of every error that adafuse raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by what it holds: most errors make their message of other arguments."""
        return rebuilt, (type(self), self.args, self.__dict__)


def rebuilt(kind: type[AdaFuseError], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> Any:
    """An error of a kind from what it held."""
    # Of two bases that are Python's own, the one whose layout the kind has must make it.
    made_by: Any = kind.__base__
    error = made_by.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class AdaFuseWarning(UserWarning):
    """Something goes on, but perhaps not as it was meant."""


class ConfigError(AdaFuseError, ValueError):
    """A setting or a member specification is wrong or unknown."""


class PromptError(AdaFuseError):
    """The prompt or the messages cannot be read."""


class ContextWindowError(PromptError):
    """A prompt leaves no room for an answer in a member's context window.

    With `where`: the text of that name, with its prompt, does not fit into it.
    """

    def __init__(self, member: str, window: int, prompt_tokens: int, *, where: str = "") -> None:
        super().__init__(
            f"{where}: prompt and reference are {prompt_tokens} tokens or more for member "
            f"{member!r}, whose context window is {window}; shorten them, or leave them out"
            if where
            else f"the prompt is {prompt_tokens} tokens for member {member!r}, whose context "
            f"window is {window}: no room is left for an answer; shorten the prompt or leave this "
            "member out"
        )
        self.member, self.window, self.prompt_tokens = member, window, prompt_tokens


class PromptMemoryError(PromptError, MemoryError):
    """Reading a prompt would take more memory than a member's device has free."""

    def __init__(self, member: str, prompt_tokens: int, needed: int, free: int) -> None:
        super().__init__(
            f"the prompt is {prompt_tokens} tokens for member {member!r}, which would take about "
            f"{needed / 2**20:,.0f} MiB of memory; {free / 2**20:,.0f} MiB are free: shorten the "
            "prompt, ask for fewer answers at once, or lower the members' prompt_cache_mb"
        )
        self.member, self.prompt_tokens = member, prompt_tokens
        self.needed, self.free = needed, free


class QueueFullError(AdaFuseError):
    """As many answers as are allowed are being decoded, and as many as may wait are waiting."""

    def __init__(self, running: int, waiting: int) -> None:
        super().__init__(
            f"{running} answers are being decoded and {waiting} wait, as many as may; ask again "
            "later, or raise max_queue"
        )


class LoadError(AdaFuseError):
    """A member cannot be loaded."""


class LoadMemoryError(LoadError, MemoryError):
    """The weights of the members would take more memory than a device has free."""


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


class ContextFullError(DecodingError, MemoryError):
    """The llama.cpp context of a member, which all its answers share, has no room left."""

    def __init__(self, member: str, cells: int, reason: str) -> None:
        super().__init__(
            f"the llama.cpp context of member {member!r} is full: {reason}; all answers of a "
            f"member share its n_ctx of {cells} tokens: give it a larger one, or ask for fewer "
            "answers at once"
        )
        self.member, self.cells = member, cells


class IncompleteAnswerError(DecodingError):
    """An answer ended, by its length or a stop string, before it was what it must be.

    Attributes:
        answer: what there is of it; its `finish_reason` says why it ended.
    """

    def __init__(self, what: str, answer: FinishedAnswer) -> None:
        limit = {
            "length": "at its length limit; allow more tokens, or ask for less",
            "stop_string": "at a stop string; leave that stop out",
        }
        reason = limit.get(answer.finish_reason, answer.finish_reason)
        super().__init__(f"the answer is not a whole {what}: it ended {reason}")
        self.answer = answer


class MemberError(DecodingError):
    """A member failed; the error that it failed with is the cause.

    Attributes:
        member: its name.
        phase: what it was doing: "open", "prefill", "draft", "score" or "commit".
        round_index: of the round; 0 before the first.
        committed: the answer text up to then.
        reason: what went wrong, in one line.
    """

    def __init__(
        self, member: str, phase: str, round_index: int, committed: str, reason: str
    ) -> None:
        excerpt = f"{committed[:37]}…{committed[-37:]}" if len(committed) > 75 else committed
        so_far = f"after {excerpt!r}" if committed else "before anything was committed"
        super().__init__(
            f"member {member!r} failed in round {round_index} ({phase}), {so_far}: {reason}; "
            "on_member_error='drop' goes on without a member that fails"
        )
        self.member, self.phase, self.round_index = member, phase, round_index
        self.committed, self.reason = committed, reason


class MemberLostError(MemberError, ConnectionError):
    """A member's process or machine is gone or cannot be reached."""


class MemberMemoryError(MemberError, MemoryError):
    """A member ran out of memory."""


class MemberTimeoutError(MemberError, TimeoutError):
    """A member took longer than `round_timeout`."""


class TooFewMembersError(DecodingError):
    """Members failed and were dropped, and fewer than `min_members` are left.

    Attributes:
        dropped: why each was dropped, by name.
        committed: the answer text up to then.
    """

    def __init__(
        self, left: int, min_members: int, dropped: Mapping[str, str], committed: str
    ) -> None:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in dropped.items())
        super().__init__(
            f"{left} members are left and min_members is {min_members}; dropped were {why}"
        )
        self.dropped, self.committed = dict(dropped), committed


class AnswerTimeoutError(DecodingError, TimeoutError):
    """Decoding one answer took longer than the caller allows.

    Attributes:
        seconds: the limit.
        committed: the answer text up to then.
    """

    def __init__(self, seconds: float, committed: str = "") -> None:
        super().__init__(
            f"the answer was not whole after {seconds:g} seconds of decoding; raise timeout, or "
            "ask for less"
        )
        self.seconds, self.committed = seconds, committed


class NoToolCallError(DecodingError, ValueError):
    """An answer that should call a tool calls none."""

    def __init__(self, text: str, *, cut: bool = False) -> None:
        short = text if len(text) <= 80 else f"{text[:80]}…"
        remedy = "allow more tokens: a limit ended it" if cut else "require a call of it"
        super().__init__(f"the answer calls no tool, but says {short!r}; {remedy}")


class NonFiniteError(DecodingError):
    """No member with a weight is left in a round: their logits or scores are not finite."""

    def __init__(self, members: tuple[str, ...], round_index: int, committed: str = "") -> None:
        super().__init__(
            f"round {round_index}: every member with a weight gave non-finite logits "
            f"({', '.join(members)}); try a wider dtype such as float32 or bfloat16, or check the "
            "checkpoint"
        )
        self.members, self.round_index, self.committed = members, round_index, committed
