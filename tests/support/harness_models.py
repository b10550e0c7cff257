"""Models of the harness and of ours over the same weights, and what they are asked."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from adafuse import Ensemble
from adafuse.local.member import LocalMember
from adafuse_integrations.lm_eval import AdaFuseLM
from families import family

__all__ = ["CHAT", "CONTEXTS", "PAIRS", "ExactHFLM", "alone", "ask", "member", "same_likelihoods"]

PAIRS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is ", "Paris"),
    ("Sum: 2+2?\nAnswer:", " 4"),
    ("Sum: 2+2?\nAnswer:", " four and more"),
    ("", " Hello there"),
    ("", "Hello"),
    ("Hello world  \n", "foo bar"),
    ("x = [\n    1,", "\n    2]"),
    ("naïve café", " déjà vu 👩‍🔬"),
    ("word " * 800, "end of it"),
]
CONTEXTS = ["The capital of France is", "x = [\n    1,", "word " * 800, "def f(x):\n", "日本語の"]
CHAT = [
    [{"role": "user", "content": "Where is Paris?"}],
    [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "Here."},
        {"role": "user", "content": "Why?"},
    ],
]


class ExactHFLM(HFLM):  # type: ignore[misc]
    """The harness's model, decoding as members do: the joined bytes up to the first end token.

    Its own decoding drops special tokens, a first blank, and bytes beside broken ones.
    """

    def __init__(self, member: LocalMember) -> None:
        tokenizer = copy.deepcopy(member.tokenizer)  # it is given a padding token
        super().__init__(pretrained=member.runner.model, tokenizer=tokenizer)
        self.member = member

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> Any:
        if isinstance(tokens, int):
            return super().tok_decode(tokens, skip_special_tokens)
        ends = [at for at, token in enumerate(tokens) if token in self.member.end_ids]
        codec = self.member.codec
        return codec.text(tokens[: ends[0]] if ends else codec.whole_prefix(tokens))


def member(name: str, seed: int = 1, **arguments: Any) -> LocalMember:
    return LocalMember(*family(name, seed), name, **arguments)


def alone(name: str, **settings: Any) -> AdaFuseLM:
    return AdaFuseLM(Ensemble([member(name)]), branches=1, **settings)


def ask(lm: Any, kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    requests = [
        Instance(request_type=kind, doc={}, arguments=copy.deepcopy(one), idx=0)  # type: ignore[arg-type]
        for one in arguments
    ]
    return list(getattr(lm, kind)(requests, disable_tqdm=True))


def same_likelihoods(found: list[Any], expected: list[Any]) -> None:
    assert [one[0] for one in found] == pytest.approx([one[0] for one in expected], abs=1e-3)
    assert [one[1] for one in found] == [one[1] for one in expected]
