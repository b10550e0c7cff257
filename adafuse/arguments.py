"""Arguments of chat templates: which are a caller's to give, and which are adafuse's own.

This module knows nothing of templates themselves: `chat_template` does.
"""

from __future__ import annotations

from collections.abc import Iterable

from adafuse.errors import ConfigError

__all__ = ["refuse_reserved"]

# What `apply_chat_template` of transformers would take for itself, and what templates are given of
# a conversation.
_RESERVED = (
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict",
    "return_tensors", "sanitize_control_tokens", "tokenize", "tokenizer_kwargs", "tools",
    "truncation",
)  # fmt: skip


def refuse_reserved(member: str, arguments: Iterable[str]) -> None:
    """Raise ConfigError if `chat_template_kwargs` hold what is not a caller's to give."""
    reserved = [name for name in arguments if name in _RESERVED]
    if reserved:
        raise ConfigError(
            f"member {member!r}: chat_template_kwargs must not hold {', '.join(reserved)}, which "
            "adafuse gives to the template itself"
        )
