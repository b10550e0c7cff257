"""The ensemble as the harness's `LM`: what a request means for several members together.

A log-likelihood is the weighted mean of the members' log-likelihoods per byte, times the bytes of
the text; bytes are the same for all, so that this is the weighted mean of their totals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from lm_eval.api.model import LM
from lm_eval.utils import simple_parse_args_string
from tqdm import tqdm

from adafuse._version import __version__
from adafuse.decoding.weighting import member_weights
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError, PromptError
from adafuse.spec import MemberSpec
from adafuse_integrations.lm_eval.arguments import (
    build_ensemble,
    read_batch_size,
    usable_device,
    warn,
)
from adafuse_integrations.lm_eval.chat_template import read_chat, write_chat

if TYPE_CHECKING:
    from adafuse_integrations.lm_eval.loglikelihood import MemberScorer

__all__ = ["AdaFuseLM"]


class AdaFuseLM(LM):  # type: ignore[misc]  # the harness is not typed
    """An ensemble, or one of its members, for lm-eval.

    Args:
        ensemble: one that is loaded; or give `models`.
        models: "a+b", or a list: hub ids, folders, GGUF files, specifications, or the short names
            of the demo models.
        device: for `models`, as in `Ensemble.load`; also `dtype`.
        trust_remote_code: for all of `models`.
        batch_size: answers decoded at the same time; "auto" is 8, or `max_batch_size`.
            Log-likelihoods are read context by context.
        settings: of decoding, the fields of `DecodingConfig`, or a `preset`. `weights` may be
            "0.6+0.4". A request's own arguments go before them.

    Raises:
        ConfigError: an argument is unknown or wrong.
        LoadError: a member cannot be loaded.
    """

    def __init__(
        self,
        ensemble: Ensemble | None = None,
        *,
        models: str | Sequence[str | Mapping[str, Any] | MemberSpec] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        trust_remote_code: bool = False,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.batch_size = read_batch_size(batch_size, max_batch_size)
        loading = {"device": device, "dtype": dtype, "trust_remote_code": trust_remote_code}
        self.ensemble = build_ensemble(ensemble, models, loading, settings)
        self._weights = member_weights(self.ensemble.members, self.ensemble.config)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> Self:
        """From model arguments; what the harness adds gives way to them."""
        added = {k: v for k, v in (additional_config or {}).items() if v is not None}
        merged = {**added, **arg_dict}
        if "device" not in arg_dict and "device" in added:
            merged["device"] = usable_device(added["device"])
        return cls(**merged)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> Self:
        """From "models=a+b,branches=1"."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    # Log-likelihoods.

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Any]:
        """Log-likelihoods of continuations in nats, and whether they are greedy.

        An ensemble's continuation is greedy if every member with a weight would write it greedily.

        Raises:
            ConfigError: a member with a weight has no model in this process.
            PromptError: a continuation is empty, or no token of its own for a member.
        """
        groups: dict[str, list[int]] = {}
        for at, request in enumerate(requests):
            context, continuation = request.args
            if not continuation:
                raise PromptError(f"the continuation of {context[-40:]!r} is empty")
            groups.setdefault(context, []).append(at)
        scorers = self._scorers
        results: dict[int, tuple[float, bool]] = {}
        with self._progress_bar(len(requests), "loglikelihood", disable_tqdm) as bar:
            for context, places in groups.items():
                chat = read_chat(context)
                continuations = [requests[at].args[1] for at in places]
                scored = {
                    name: scorer.score(context, chat, continuations)
                    for name, scorer in scorers.items()
                }
                for row, at in enumerate(places):
                    totals = {name: rows[row][0] for name, rows in scored.items()}
                    greedy = all(rows[row][1] for rows in scored.values())
                    results[at] = self._weighted_mean(totals), greedy
                    self.cache_hook.add_partial("loglikelihood", requests[at].args, results[at])
                bar.update(len(places))
        self._warn_of_losses()
        return [results[at] for at in range(len(requests))]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihoods of whole texts in nats, in windows as the harness makes them.

        Each member has windows of its own length.
        """
        scorers = self._scorers
        totals = []
        with self._progress_bar(len(requests), "loglikelihood_rolling", disable_tqdm) as bar:
            for request in requests:
                (text,) = request.args
                total = self._weighted_mean(
                    {name: scorer.rolling(text) for name, scorer in scorers.items()}
                )
                totals.append(total)
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
                bar.update(1)
        self._warn_of_losses()
        return totals

    def _weighted_mean(self, totals: Mapping[str, float]) -> float:
        """The weighted mean of the members' totals."""
        weight = sum(self._weights[name] for name in totals)
        return sum(self._weights[name] * total for name, total in totals.items()) / weight

    @cached_property
    def _scorers(self) -> dict[str, MemberScorer]:
        """Members that have a weight; the others are not asked."""
        from adafuse_integrations.lm_eval.loglikelihood import MemberScorer  # imports torch

        weighted = [member for member in self.ensemble.members if self._weights[member.name] > 0]
        return {member.name: MemberScorer(member) for member in weighted}

    def _warn_of_losses(self) -> None:
        """Say what members lost, and begin to count anew."""
        for name, scorer in self._scorers.items():
            if scorer.cut:
                warn(
                    f"member {name!r}: {scorer.cut} texts were longer than its window of "
                    f"{scorer.max_length} tokens; they lost their first tokens"
                )
            if scorer.lossy:
                warn(
                    f"member {name!r}: its tokenizer cannot hold {scorer.lossy} texts exactly; it "
                    "scored its own rendering of them"
                )
            scorer.cut = scorer.lossy = 0

    # Answers.

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers up to a stop string, which is left out.

        Contexts are completed as they are; conversations are rendered by each member.

        Raises:
            ConfigError: a generation argument is unknown, or asks for another kind of decoding.
        """
        from adafuse_integrations.lm_eval.generate_until import answer_all  # imports torch

        answers: dict[int, str] = {}
        arguments = [request.args for request in requests]
        with self._progress_bar(len(requests), "generate_until", disable_tqdm) as bar:
            for at, text in answer_all(self.ensemble, arguments, self.batch_size):
                answers[at] = text
                self.cache_hook.add_partial("generate_until", arguments[at], text)
                bar.update(1)
        return [answers[at] for at in range(len(requests))]

    # Conversations, and what the harness writes down.

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation itself: each member renders it, once it is asked."""
        return write_chat(chat_history, add_generation_prompt=add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The members' templates, for the harness's records.

        Raises:
            ConfigError: a template is asked for by name; members may differ in what names mean.
        """
        if isinstance(chat_template, str):
            raise ConfigError(
                f"apply_chat_template={chat_template!r}: templates are not chosen by name; give "
                "the member's specification a chat_template"
            )
        if not chat_template:
            return None
        templates = {
            member.name: getattr(getattr(member, "tokenizer", None), "chat_template", None)
            for member in self.ensemble.members
        }
        return json.dumps(templates, ensure_ascii=False)

    @property
    def tokenizer_name(self) -> str:
        """The members' names; conversations in the harness's caches are kept under it."""
        return "+".join(member.name for member in self.ensemble.members).replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """What the harness notes beside the results."""
        runners = [getattr(m, "runner", None) for m in self.ensemble.members]
        return {
            "adafuse_version": __version__,
            "members": dict(self._weights),
            "model_num_parameters": int(sum(runner.parameters for runner in runners if runner)),
            "model_dtype": "+".join(runner.dtype for runner in runners if runner),
            "decoding": str(self.ensemble.config),
        }

    def _progress_bar(self, total: int, what: str, disabled: bool) -> Any:
        return tqdm(total=total, disable=disabled or self.rank != 0, desc=f"Running {what}")
