"""The ensemble: members that answer together."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from numbers import Real
from typing import Any

from adafuse.answer import Answer
from adafuse.backends import Backend, load_on
from adafuse.concurrency.admission import Admission
from adafuse.concurrency.batch import drain
from adafuse.config import DecodingConfig
from adafuse.decoding.loop import fuse
from adafuse.decoding.member import Member
from adafuse.ensemble_file import read_models
from adafuse.errors import ConfigError, PromptError
from adafuse.events import Round
from adafuse.prompting.prompt import Message, Prompt, PromptFormat, read_prompt, with_constraint
from adafuse.spec import MAX_MEMBERS, MemberSpec, as_spec
from adafuse.telemetry.observer import observed
from adafuse.validation import whole

__all__ = ["Ensemble"]

Models = str | os.PathLike[str] | Sequence[str | Mapping[str, Any] | MemberSpec]
"""Members to load, or the name of a file that has them."""
MAX_CONCURRENCY = 8
"""How many answers of a batch are decoded at the same time, unless the caller says otherwise."""


class Ensemble:
    """Several language models that write one answer together (AdaFuse, arXiv 2601.06022).

    Args:
        members: 1 to 8 members with different names, the first of which counts
            `max_new_tokens` and wins ties.
        config: default decoding settings.
        max_concurrency: how many answers are decoded at the same time; others wait, first come,
            first served. None: any number. Whoever holds an answer open and asks for another
            needs two places.
        max_queue: how many may wait; None: any number.

    Raises:
        ConfigError: no members, too many, two of one name, or something that is no member; a
            number is too small.

    Answers are independent of each other: an ensemble may be used from several threads.
    """

    def __init__(
        self,
        members: Sequence[Member],
        config: DecodingConfig | None = None,
        *,
        max_concurrency: int | None = None,
        max_queue: int | None = None,
    ) -> None:
        self.members = _members(members)
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            raise ConfigError(f"an ensemble has 1 to {MAX_MEMBERS} members, not {len(members)}")
        names = [member.name for member in self.members]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigError(f"members need different names; given twice: {', '.join(twice)}")
        self.config = config or DecodingConfig()
        self._admission = Admission(max_concurrency, max_queue)

    def __repr__(self) -> str:
        return f"Ensemble({', '.join(member.name for member in self.members)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Ensemble:
        """Itself: members are not copied, and neither are their weights."""
        return self

    @classmethod
    def load(
        cls,
        models: Models,
        *,
        device: str | None = None,
        dtype: str | None = None,
        backend: Backend = "local",
        address: str | None = None,
        max_concurrency: int | None = None,
        max_queue: int | None = None,
        **settings: Any,
    ) -> Ensemble:
        """Load members from hub ids, folders, GGUF files, specifications, or a file of them.

        Args:
            models: 1 to 8 of them; or the name of a file that `adafuse fit` wrote, ending in .yaml:
                its members, weights and settings. Two that share a checkpoint share its weights, in
                one process.
            device: for members whose specification names neither a device nor a device_map.
            dtype: likewise.
            backend: "local": in this process; "ray": each member is one or several actors on a
                cluster, which `close` ends. See docs/ray.md.
            address: of that cluster: None (the one that this process is connected to or that runs
                on this machine, else a new one on this machine), "auto", "host:port", "ray://…".
            max_concurrency: see the class.
            max_queue: likewise.
            settings: defaults for decoding, the fields of `DecodingConfig`, or a `preset`.

        Raises:
            ConfigError: a setting or a specification is wrong; before anything is loaded.
            LoadError: a member cannot be loaded; see `adafuse.errors`.
            MissingExtraError: Ray is asked for and not installed.
            ConnectionError: there is no cluster at the address.
        """
        listed, of_file = read_models(models, to_answer=True)
        config = DecodingConfig().override(**of_file).override(**settings)
        Admission(max_concurrency, max_queue)  # what is refused should not wait for models
        if not isinstance(listed, list | tuple) or not 1 <= len(listed) <= MAX_MEMBERS:
            raise ConfigError(f"models must be a list of 1 to {MAX_MEMBERS} members")
        specs = [as_spec(model) for model in listed]
        if config.weights is not None and len(config.weights) != len(specs):
            raise ConfigError(f"weights has {len(config.weights)} numbers for {len(specs)} members")
        members = load_on(backend, specs, device=device, dtype=dtype, address=address)
        return cls(members, config, max_concurrency=max_concurrency, max_queue=max_queue)

    def close(self) -> None:
        """End what `load` has started elsewhere: actors. The ensemble is of no use after that."""
        for member in self.members:
            if (close := getattr(member, "close", None)) is not None:
                close()

    def __enter__(self) -> Ensemble:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def only(self, names: Sequence[str]) -> Ensemble:
        """Some of the members, in this order; they share its limits with it.

        Weights of the configuration are left out: they are those of all members.

        Raises:
            ConfigError: there is no such member, or none is named.
        """
        by_name = {member.name: member for member in self.members}
        if unknown := [name for name in names if name not in by_name]:
            there = ", ".join(by_name)
            raise ConfigError(f"there is no member {unknown[0]!r}; there are: {there}")
        config = replace(self.config, weights=None)
        some = Ensemble([by_name[name] for name in names], config)
        some._admission = self._admission
        return some

    def stream(
        self,
        prompt: str | Sequence[Message],
        *,
        prompt_format: PromptFormat | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool = False,
        **overrides: Any,
    ) -> Generator[Round]:
        """Answer round by round.

        Args:
            prompt: text to be completed, or chat messages.
            prompt_format: for text: "raw" (default), "auto" or "chat"; see `adafuse.Prompt`.
            tools: functions that the answer may call, in OpenAI's format. Calls are part of the
                text, in the syntax of `adafuse.tools`, and their arguments fit the schemas.
            tool_choice: "auto" (default); "none": tools are not shown, and the answer holds no
                call; "any" (or "required"): it is a call; a tool's name: a call of that one.
            parallel_tool_calls: whether an answer may hold several calls.
            overrides: decoding settings for this call.

        Returns:
            A generator of rounds; their texts concatenate to the answer. The last one has
            `finish_reason` and `usage`. Closing it early is safe.

        Raises:
            ConfigError, PromptError: at once, before the first round is asked for. What only a
                member can tell (ContextWindowError) is raised by the first round, before any
                forward.
            MissingExtraError: at once: a grammar is needed and llguidance is not installed.
            QueueFullError: by the first round: too many answers run and wait.
            AnswerTimeoutError: decoding, or waiting for a place, took longer than `timeout`.
            MemberError, TooFewMembersError: members failed; see `DecodingConfig`.
            IncompleteAnswerError: after the last round: a constrained answer is not whole.
        """
        config = self.config.override(**overrides)
        checked = read_prompt(prompt, prompt_format, tools)
        checked = with_constraint(checked, config, tool_choice, parallel_tool_calls)
        return self._decode(checked, config)

    def _decode(
        self,
        prompt: Prompt,
        config: DecodingConfig,
        chosen: Sequence[int] | None = None,
        *,
        rated: bool = False,
    ) -> Generator[Round]:
        """As `stream`, of a prompt and settings that are checked already (see `with_constraint`).

        `chosen` are those that answer, by index; `config` is theirs, as of `answering_config`. With
        `rated` words that members agree on have scores too.
        """
        members = self.members if chosen is None else [self.members[at] for at in chosen]
        names = [member.name for member in members]
        rounds = self._admitted(fuse(members, prompt, config, rated=rated), config.timeout)
        return observed(rounds, members=names, prompt=prompt, config=config)

    def _admitted(self, rounds: Generator[Round], patience: float | None) -> Generator[Round]:
        """Wait for a place, and pass rounds on while holding it."""
        with closing(rounds), self._admission.admitted(patience):
            yield from rounds

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        prompt_format: PromptFormat | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool = False,
        **overrides: Any,
    ) -> Answer:
        """Answer as a whole; arguments and errors as for `stream`."""
        rounds = self.stream(
            prompt,
            prompt_format=prompt_format,
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            **overrides,
        )
        return Answer.fold(rounds)

    def generate_batch(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        prompt_format: PromptFormat | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: str | None = None,
        parallel_tool_calls: bool = False,
        max_concurrency: int = MAX_CONCURRENCY,
        **overrides: Any,
    ) -> list[Answer]:
        """Answer several prompts together; each answer is what `generate` gives for it alone.

        Their members share forwards: a row that ends makes room for the next one.

        Args:
            prompts: texts or lists of messages, in any number.
            max_concurrency: how many are decoded at the same time.

        Returns:
            The answers, in the order of the prompts. Other arguments as for `stream`.

        Raises:
            As `generate`; what is wrong with any prompt or setting is raised before any forward,
            but for what only a member can tell. The first error of a row ends the others.
        """
        together = whole("max_concurrency", max_concurrency, 1)
        if isinstance(prompts, str):
            raise PromptError("generate_batch takes a list of prompts; a string is one: generate")
        config = self.config.override(**overrides)
        checked = [read_prompt(prompt, prompt_format, tools) for prompt in prompts]
        streams = [
            self._decode(with_constraint(prompt, config, tool_choice, parallel_tool_calls), config)
            for prompt in checked
        ]
        width = min(together, self._admission.limit or together, max(len(streams), 1))
        return [Answer.fold(rounds) for rounds in drain(streams, width)]


def _members(members: object) -> tuple[Member, ...]:
    """The members of a list, each with what `adafuse.decoding.member.Member` asks for."""
    wanted = "a list of members such as adafuse.local.LocalMember; Ensemble.load reads models"
    if not isinstance(members, list | tuple):
        raise ConfigError(f"an ensemble takes {wanted}, not {type(members).__name__}")
    for member in members:
        weight = getattr(member, "weight", None)
        named = isinstance(getattr(member, "name", None), str)
        if not (named and isinstance(weight, Real) and callable(getattr(member, "open", None))):
            raise ConfigError(f"an ensemble takes {wanted}, and {member!r:.80} is no member")
    return tuple(members)
