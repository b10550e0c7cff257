"""Whether the ids of a tokenizer are ids of its model.

Padded models have more rows than there are tokens, which is fine. Some tokenizers have a few added
tokens more than the model has rows (a padding token, Gemma's image token): fine too, as long as no
text and no prompt brings them up.
"""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from adafuse.errors import PromptError, UnsupportedTokenizerError
from adafuse.text.tokenizer import TokenCodec

__all__ = ["check_prompt", "check_tokenizer"]


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, codec: TokenCodec, rows: int, name: str
) -> None:
    """Refuse a tokenizer that gives ids which its model does not have.

    Args:
        tokenizer: the member's.
        codec: of the same tokenizer.
        rows: ids of the model.
        name: the member's name, for messages.

    Raises:
        UnsupportedTokenizerError: its vocabulary is larger; or a token that any text can hold, that
            begins every prompt, or that ends an answer is beyond the model's.
    """
    if tokenizer.vocab_size > rows:
        raise UnsupportedTokenizerError(
            f"member {name!r}: its tokenizer has {tokenizer.vocab_size} ids but its model {rows}; "
            "they do not belong together"
        )
    beyond = {id_: token for token, id_ in tokenizer.get_vocab().items() if id_ >= rows}
    always = {*codec.encode_start("x", special_tokens=True), tokenizer.eos_token_id}
    for id_, token in sorted(beyond.items()):
        if id_ not in codec.special or id_ in always:
            raise UnsupportedTokenizerError(
                f"member {name!r}: its tokenizer has {token!r} as id {id_}, but its model has only "
                f"{rows} ids; resize the model's embeddings, or use the tokenizer it came with"
            )


def check_prompt(ids: Iterable[int], codec: TokenCodec, rows: int, name: str) -> None:
    """Refuse a rendered prompt with a token that the model does not have.

    Raises:
        PromptError: it has one, out of the chat template.
    """
    for id_ in ids:
        if id_ >= rows:
            token = codec.special.get(id_, "?")
            raise PromptError(
                f"member {name!r}: its prompt has {token!r}, id {id_}, but its model has only "
                f"{rows} ids; give the member another chat_template"
            )
