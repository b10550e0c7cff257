"""One member's log-likelihoods, of texts encoded exactly as the harness encodes them.

The splitting into context and continuation, and the windows of long texts, are the harness's own
code. This module knows nothing of other members. Imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import PreTrainedTokenizerBase

from adafuse.decoding.member import Member
from adafuse.errors import ConfigError, ContextWindowError, DecodingError, PromptError
from adafuse.local.loglikelihood import continuations_logprobs
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse_integrations.lm_eval.chat_template import Conversation
from adafuse_integrations.lm_eval.truncation import answer_text, prompt_of, rendered_ids, window_of

__all__ = ["MemberScorer"]

Scored = tuple[float, bool]
"""A log-likelihood in nats, and whether the member would write the text by itself."""


class MemberScorer(TemplateLM):  # type: ignore[misc]  # the harness is not typed
    """A member as the harness's own models see a text.

    Attributes:
        cut: how many texts lost their first tokens to the context window.
        lossy: how many texts the member's tokenizer cannot hold exactly.
    """

    def __init__(self, member: Member) -> None:
        super().__init__()
        if not isinstance(member, LocalMember):
            raise ConfigError(
                f"member {member.name!r} is a {type(member).__name__}: it has no model in this "
                "process, so log-likelihoods cannot be read from it; evaluate it on tasks that "
                "generate, or give it the weight 0"
            )
        self.cut = 0
        self.lossy = 0
        self.max_length = window_of(member)
        self._member = member
        if not isinstance(member.tokenizer, PreTrainedTokenizerBase):
            raise ConfigError(
                f"member {member.name!r} reads with its GGUF file's own vocabulary, and the "
                "harness's log-likelihoods take a tokenizer of transformers: name one with "
                "tokenizer=, or evaluate it on tasks that generate"
            )
        self._tokens = member.tokenizer

    def score(
        self, context: str, conversation: Conversation | None, continuations: Sequence[str]
    ) -> list[Scored]:
        """Log-likelihoods of continuations of a context, or of answers in a conversation."""
        if conversation is not None:
            pairs = [self._answer_ids(conversation, text) for text in continuations]
            return self._loglikelihood_tokens(pairs)
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=(context, text), idx=0)
            for text in continuations
        ]
        scores: list[Scored] = self.loglikelihood(requests, disable_tqdm=True)
        return scores

    def rolling(self, text: str) -> float:
        """The log-likelihood of a whole text, in windows as long as the model's."""
        ids = self.tok_encode(text)
        windows = get_rolling_token_windows(
            token_list=ids,
            prefix_token=self.prefix_token_id,
            max_seq_len=self.max_length,
            context_len=1,
        )
        self._note_loss(text, ids)
        return sum(total for total, _ in self._score_ids(map(make_disjoint_window, windows)))

    # What `TemplateLM` asks for.

    @property
    def eot_token_id(self) -> int | None:
        """The id that ends a text."""
        ends: int | None = self._tokens.eos_token_id
        return ends

    @property
    def prefix_token_id(self) -> int:
        """The id in front of a text without a context."""
        begins: int | None = self._tokens.bos_token_id
        token_id = begins if begins is not None else self.eot_token_id
        if token_id is None:
            raise ConfigError(
                f"member {self._member.name!r}: its tokenizer has neither a BOS nor an EOS, so "
                "there is nothing for a text without a context to follow"
            )
        return token_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Encode as the harness's model does: the tokenizer's own special tokens, but no second
        BOS; strings of special tokens become these tokens."""
        if add_special_tokens is None and has_bos_prefix(
            string, self._tokens.decode(self.prefix_token_id)
        ):
            add_special_tokens = False
        options = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        ids: list[int] = self._tokens.encode(string, **options)
        return ids

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[Scored]:
        for texts, context, continuation in requests:
            if not continuation:
                raise PromptError(
                    f"member {self._member.name!r}: its tokenizer joins the continuation "
                    f"{texts[1]!r} with the end of its context {texts[0][-40:]!r}, so that it has "
                    "no token of its own"
                )
            self._note_loss("".join(texts), [*context, *continuation])
        return self._score_ids([(context, continuation) for _, context, continuation in requests])

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """As the harness calls `rolling`."""
        return [self.rolling(request.args[0]) for request in requests]

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Not here: an ensemble writes its answers."""
        raise NotImplementedError

    # Ids.

    def _answer_ids(self, chat: Conversation, text: str) -> tuple[Any, list[int], list[int]]:
        """An answer in a conversation: (texts, ids of the context, ids of the answer)."""
        prefix = chat.prefix.rstrip()
        text = chat.prefix[len(prefix) :] + text
        prompt = read_prompt(prompt_of("", replace(chat, prefix=prefix)))
        rendered, codec = rendered_ids(self._member, prompt), self._member.codec
        if not prefix:
            text = answer_text(rendered, text)
        context, ids = list(rendered.ids), codec.encode(text)
        # As behind a text: whitespace at the end of a context counts with what continues it.
        while (
            len(context) > 1
            and context[-1] not in codec.special
            and codec.token_bytes(context[-1]).isspace()
        ):
            ids.insert(0, context.pop())
        return ("", text), context, ids

    def _score_ids(self, pairs: Any) -> list[Scored]:
        """Log-likelihoods of (context, continuation) ids; those of one context are read together.

        tokens   0 1 2 3 | 4 5 6        window 5: tokens 0 is dropped, 6 is not read
        read       1 2 3   4 5
        scored             4 5 6
        """
        groups: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for at, (context, continuation) in enumerate(pairs):
            room = self.max_length + 1 - len(continuation)
            if room < 1:
                raise ContextWindowError(self._member.name, self.max_length, len(continuation))
            self.cut += len(context) > room
            groups.setdefault(tuple(context[-room:]), []).append((at, continuation))
        scored: dict[int, Scored] = {}
        for key, continuations in groups.items():
            logprobs = continuations_logprobs(self._member, key, [ids for _, ids in continuations])
            for (at, _), result in zip(continuations, logprobs, strict=True):
                if math.isnan(result.total):
                    raise DecodingError(
                        f"member {self._member.name!r} gave a log-likelihood that is not a number; "
                        "try a wider dtype such as float32 or bfloat16, or check the checkpoint"
                    )
                scored[at] = result.total, result.is_greedy
        return [scored[at] for at in range(len(scored))]

    def _note_loss(self, text: str, ids: Sequence[int]) -> None:
        codec = self._member.codec
        last = len(ids) - 1 if ids and ids[-1] in codec.special else len(ids)
        self.lossy += not any(codec.text(ids[:end]).endswith(text) for end in {last, len(ids)})
