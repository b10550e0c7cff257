"""Which members to load, and how. Knows no model and no Ray: it is read without them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any

from adafuse.errors import ConfigError
from adafuse.validation import (
    check_choice,
    check_float,
    check_seconds,
    refuse_reserved,
    refuse_unknown,
    show,
    whole,
)

__all__ = [
    "LEASE",
    "LLAMA_OPTIONS",
    "MAX_MEMBERS",
    "SECRETS",
    "MemberSpec",
    "RayOptions",
    "as_spec",
    "loadable",
    "names_of",
]

MAX_MEMBERS = 8
LEASE = 600.0
"""Seconds after which a session that nobody has used is closed."""
LLAMA_OPTIONS = ("n_gpu_layers", "n_ctx", "n_threads")
"""Fields of a member that only llama.cpp knows."""
SECRETS = frozenset({"api_key", "auth_token", "hf_token", "token", "use_auth_token"})
"""Keys of loading options that open a repository and do not change what is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """The `ray` field of a member's specification; each number is of one replica.

    Attributes:
        replicas: how many actors have the model, on different nodes where there are such.
        num_cpus: cores, which are also the threads that the model computes with.
        num_gpus: GPUs; a fraction shares one. 0: the model runs on the CPU.
        resources: how much of what the cluster's nodes are labelled with, by name.
        max_concurrency: how many sessions may be worked on at the same time; others wait.
        max_restarts: how often an actor that dies is started again; -1: always.
        lease: seconds after which a session that nobody has used is closed.
        start_timeout: seconds to wait for a node with room and for the model to be loaded.

    Raises:
        ConfigError: a value is out of range.
    """

    replicas: int = 1
    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    max_concurrency: int = 16
    max_restarts: int = -1
    lease: float = LEASE
    start_timeout: float = 600.0

    def __post_init__(self) -> None:
        for name, low in (("replicas", 1), ("max_concurrency", 1), ("max_restarts", -1)):
            object.__setattr__(
                self, name, whole(f"a member's ray {name}", getattr(self, name), low)
            )
        for name in ("num_cpus", "num_gpus"):
            check_float(f"a member's ray {name}", getattr(self, name), 0)
        if self.num_gpus > 1 and self.num_gpus % 1:
            raise ConfigError(
                f"a member's ray num_gpus above 1 must be whole, not {show(self.num_gpus)}"
            )
        for name in ("lease", "start_timeout"):
            check_seconds(f"a member's ray {name}", getattr(self, name))
        if not isinstance(self.resources, Mapping):
            raise ConfigError(
                f"a member's ray resources must be numbers by name, not {show(self.resources)}"
            )
        for label, amount in self.resources.items():
            if not isinstance(label, str) or label in ("", "CPU", "GPU", "memory"):
                raise ConfigError(
                    f"a member's ray resources cannot name {show(label)}; num_cpus and num_gpus "
                    "are fields of their own"
                )
            check_float(f"a member's ray resource {label!r}", amount, 0)
        object.__setattr__(self, "resources", dict(self.resources))


def read_ray_options(options: object) -> dict[str, Any]:
    """The options as a dict with every field; ConfigError for an unknown one or a wrong value."""
    if not isinstance(options, Mapping):
        raise ConfigError(f"a member's ray must be a mapping of options, not {show(options)}")
    refuse_unknown("ray option of a member", options, [f.name for f in fields(RayOptions)])
    return asdict(RayOptions(**options))


_TEXT, _MAPPING = ((str, NoneType), "a string or None"), ((dict,), "a dict")
_FIELD_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "a hub id or a path"),
    **dict.fromkeys(("name", "device", "dtype", "revision", "tokenizer"), _TEXT),
    **dict.fromkeys(
        ("device_map", "chat_template"), ((str, dict, NoneType), "a string, a dict or None")
    ),
    **dict.fromkeys(("tokenizer_kwargs", "chat_template_kwargs"), _MAPPING),
    **dict.fromkeys(("check_memory", "trust_remote_code"), ((bool,), "True or False")),
}


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member to load: a hub id, a local folder or a GGUF file, and how to load it.

    Attributes:
        model: hub id ("org/model"), local folder, or GGUF file ("x.gguf", "org/repo/x.gguf").
        name: shown in events and errors; default: the last part of `model`.
        weight: this member's weight in the mean of scores, at least 0.
        device: such as "cpu", "cuda:1"; default: CUDA if there is one, else the CPU.
        dtype: such as "float32", "bfloat16", or "auto" (that of the checkpoint); default: "auto" on
            an accelerator and on a CPU that multiplies bfloat16 natively (where what is float16, or
            a GGUF file, runs in bfloat16 too), float32 on other CPUs.
        device_map: handed to accelerate to shard the model; excludes `device`.
        quantization_config: a transformers quantisation config, or a dict of one.
        revision: branch, tag or commit on the hub.
        tokenizer: another folder or hub id to take the tokenizer from.
        tokenizer_kwargs: for `AutoTokenizer.from_pretrained`.
        chat_template: a Jinja template in place of the tokenizer's own, or a dict of them
            ("default", and "tool_use" where there are tools); "" leaves it out.
        chat_template_kwargs: passed to the template (for example {"enable_thinking": False}).
        attn_implementation: "sdpa" or "eager"; others cannot take a tree mask.
        prompt_cache_mb: MiB of keys and values of earlier prompts and answers to keep, so that a
            prompt that begins like one of them is read only from where they part; 0 keeps none.
        check_memory: whether weights that a device has no room for are refused before they are
            read, and likewise a prompt.
        trust_remote_code: off by default: code from a checkpoint is not run.
        ray: for the backend "ray": how many replicas, and what each asks of the cluster; a mapping
            of the fields of `RayOptions`.
        engine: which library runs a GGUF file: "llama.cpp" as it is, or "transformers" unpacked;
            default: llama.cpp where it is installed (the extra `llama-cpp`).
        n_gpu_layers: in llama.cpp: how many layers are on a GPU, -1 all; default: none.
        n_ctx: in llama.cpp: tokens of all answers at once and of kept prompts together; default:
            as many as the model was trained to read, and at most 8,192, or what a quarter of the
            free memory holds.
        n_threads: in llama.cpp: threads that compute; default: as many as torch has.
        lora: paths of LoRA adapters, all in use at their full strength: GGUF files for llama.cpp,
            folders of PEFT (`pip install peft`) for transformers.

    Raises:
        ConfigError: a value is wrong, or two of them exclude each other.
    """

    model: str
    name: str | None = None
    weight: float = 1.0
    device: str | None = None
    dtype: str | None = None
    device_map: str | dict[str, Any] | None = None
    quantization_config: Any = None
    revision: str | None = None
    tokenizer: str | None = None
    tokenizer_kwargs: dict[str, Any] = field(default_factory=dict)
    chat_template: str | dict[str, str] | None = None
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    attn_implementation: str = "sdpa"
    prompt_cache_mb: int = 256
    check_memory: bool = True
    trust_remote_code: bool = False
    ray: Mapping[str, Any] | None = None
    engine: str | None = None
    n_gpu_layers: int | None = None
    n_ctx: int | None = None
    n_threads: int | None = None
    lora: Sequence[str] = ()

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Pickles of earlier versions lack the last fields."""
        last = [field.default for field in fields(self)[len(state) :]]
        for field_, value in zip(fields(self), [*state, *last], strict=True):
            object.__setattr__(self, field_.name, value)

    def __post_init__(self) -> None:
        # A torch.dtype or torch.device is as good as its name, and torch is not imported here.
        for name in ("model", "tokenizer", "dtype", "device"):
            value = getattr(self, name)
            if name in ("model", "tokenizer") and isinstance(value, os.PathLike):
                object.__setattr__(self, name, os.fspath(value))
            elif name in ("dtype", "device") and type(value).__module__ == "torch":
                object.__setattr__(self, name, str(value).removeprefix("torch."))
        for name, (kinds, form) in _FIELD_TYPES.items():
            if not isinstance(value := getattr(self, name), kinds):
                raise ConfigError(f"a member's {name} must be {form}, not {show(value)}")
        if not self.model.strip():
            raise ConfigError("a member's model must not be empty")
        refuse_reserved(self.model, self.chat_template_kwargs)
        check_float("a member's weight", self.weight, 0)
        object.__setattr__(
            self, "prompt_cache_mb", whole("a member's prompt_cache_mb", self.prompt_cache_mb, 0)
        )
        for name, low in (("n_gpu_layers", -1), ("n_ctx", 32), ("n_threads", 1)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole(f"a member's {name}", value, low))
        paths = self.lora if isinstance(self.lora, list | tuple) else [None]
        if not all(isinstance(path, str | os.PathLike) for path in paths):
            raise ConfigError(f"a member's lora must be a list of paths, not {show(self.lora)}")
        object.__setattr__(self, "lora", tuple(map(os.fspath, self.lora)))
        if self.engine is not None:
            check_choice("a member's engine", self.engine, ("llama.cpp", "transformers"))
        if self.engine == "transformers":
            for name in LLAMA_OPTIONS:
                if getattr(self, name) is not None:
                    raise ConfigError(f"member {self.model!r}: {name} is for engine 'llama.cpp'")
        if self.ray is not None:
            object.__setattr__(self, "ray", read_ray_options(self.ray))
        if self.device is not None and self.device_map is not None:
            raise ConfigError(f"member {self.model!r}: give device or device_map, not both")
        if self.attn_implementation not in ("sdpa", "eager"):
            raise ConfigError(
                f"member {self.model!r}: attn_implementation {self.attn_implementation!r} cannot "
                "take a tree mask; use 'sdpa' or 'eager'"
            )


def as_spec(member: str | Mapping[str, Any] | MemberSpec) -> MemberSpec:
    """A member given as a string, a mapping of MemberSpec fields, or a MemberSpec; ConfigError."""
    if isinstance(member, MemberSpec):
        return member
    if isinstance(member, str | os.PathLike):
        return MemberSpec(os.fspath(member))
    if isinstance(member, Mapping):
        refuse_unknown("member field", member, [f.name for f in fields(MemberSpec)])
        if "model" not in member:
            raise ConfigError("a member specification needs 'model'")
        return MemberSpec(**member)
    raise ConfigError(f"a member is a string, a mapping or a MemberSpec, not {show(member)}")


def names_of(specs: Sequence[MemberSpec]) -> list[str]:
    """A name per member: its own, else the last part of the model; numbered where given twice."""
    names: list[str] = []
    for spec in specs:
        path = spec.model.replace("\\", "/")
        name = spec.name or path.rstrip("/").rsplit("/", 1)[-1] or spec.model
        unique, number = name, 2
        while unique in names:
            unique, number = f"{name}#{number}", number + 1
        names.append(unique)
    return names


def loadable(specs: Sequence[MemberSpec]) -> list[Any]:
    """Members as values to write down and read back with `as_spec`: names or mappings, no secrets.

    A loading option that is no plain value, and cannot say what it is as one, is left as it is.
    """
    described = []
    for spec in specs:
        plain = MemberSpec(spec.model)
        values = {f.name: getattr(spec, f.name) for f in fields(spec)}
        changed = {name: value for name, value in values.items() if value != getattr(plain, name)}
        options = {
            name: writable for name, v in changed.items() if (writable := _writable(v)) != {}
        }
        described.append({"model": spec.model, **options} if options else spec.model)
    return described


def _writable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items() if key not in SECRETS}
    to_dict = getattr(value, "to_dict", None)
    return to_dict() if callable(to_dict) else value
