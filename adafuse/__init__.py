"""adafuse: several language models with different tokenizers answer together, word by word.

AdaFuse (arXiv 2601.06022) on torch, transformers and accelerate; no training.

    from adafuse import Ensemble
    ensemble = Ensemble.load(["org/model-a", "org/model-b"])
    print(ensemble.generate("The capital of France is", max_new_tokens=32).text)

torch is imported when a model is loaded, not here; what `fit` needs, when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from adafuse import _moved
from adafuse._version import __version__
from adafuse.answer import Answer
from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import (
    AdaFuseError,
    AdaFuseWarning,
    AnswerTimeoutError,
    ConfigError,
    ContextWindowError,
    DecodingError,
    IncompleteAnswerError,
    LoadError,
    LoadMemoryError,
    MemberError,
    MemberLostError,
    MemberMemoryError,
    MemberTimeoutError,
    MissingExtraError,
    ModelNotFoundError,
    ModelPreparationError,
    NonFiniteError,
    NoToolCallError,
    PromptError,
    PromptMemoryError,
    QueueFullError,
    TooFewMembersError,
    UnsafeCheckpointError,
    UnsupportedModelError,
    UnsupportedTokenizerError,
)
from adafuse.events import Candidate, Dropped, Loss, MemberUsage, Round
from adafuse.prompting.prompt import Prompt
from adafuse.spec import MemberSpec

if TYPE_CHECKING:
    from adafuse.fitting import fit

_moved.install()

__all__ = [
    "AdaFuseError",
    "AdaFuseWarning",
    "Answer",
    "AnswerTimeoutError",
    "Candidate",
    "ConfigError",
    "ContextWindowError",
    "DecodingConfig",
    "DecodingError",
    "Dropped",
    "Ensemble",
    "IncompleteAnswerError",
    "LoadError",
    "LoadMemoryError",
    "Loss",
    "MemberError",
    "MemberLostError",
    "MemberMemoryError",
    "MemberSpec",
    "MemberTimeoutError",
    "MemberUsage",
    "MissingExtraError",
    "ModelNotFoundError",
    "ModelPreparationError",
    "NoToolCallError",
    "NonFiniteError",
    "Prompt",
    "PromptError",
    "PromptMemoryError",
    "QueueFullError",
    "Round",
    "TooFewMembersError",
    "UnsafeCheckpointError",
    "UnsupportedModelError",
    "UnsupportedTokenizerError",
    "__version__",
    "fit",
]


def __getattr__(name: str) -> Any:
    """`fit`, imported now: it brings numpy and templates that answering does without."""
    if name != "fit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from adafuse.fitting import fit

    return fit
