"""Which library runs a GGUF file, and what llama.cpp needs of it: files, room, threads.

What can be told without a model is refused before one is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from transformers import PreTrainedTokenizerBase

from adafuse.errors import ConfigError, LoadError, LoadMemoryError, MissingExtraError
from adafuse.llama.library import installed
from adafuse.llama.runner import LlamaRunner
from adafuse.llama.weights import Weights
from adafuse.loading.sources import Source, part_names
from adafuse.local.runner import Runner
from adafuse.memory import free_bytes
from adafuse.spec import LLAMA_OPTIONS, MemberSpec
from adafuse.text.llama_vocabulary import LlamaVocabulary
from adafuse.text.vocabulary import Vocabulary
from adafuse.validation import warn

__all__ = ["LlamaPlan", "runs_in_llama", "vocabulary_of"]

_MOST = 8_192  # tokens of a context that nobody has asked for
_SHARE = 4  # which part of the free memory it may take
_FEWEST = 512  # tokens that it has all the same
_TRANSFORMERS_OPTIONS = ("dtype", "device_map", "quantization_config", "tokenizer_kwargs")


def runs_in_llama(spec: MemberSpec, source: Source, name: str) -> bool:
    """Whether llama.cpp runs a member: a GGUF file, where it is installed or asked for.

    `spec` is as its user gave it, without what holds for a whole ensemble.

    Raises:
        ConfigError: it has settings that its engine does not know, or is no GGUF file.
        MissingExtraError: llama.cpp is asked for and not installed.
    """
    given = [option for option in LLAMA_OPTIONS if getattr(spec, option) is not None]
    if not source.gguf:
        if spec.engine == "llama.cpp" or given:
            what = given[0] if given else "engine 'llama.cpp'"
            raise ConfigError(f"member {name!r}: {what} is for GGUF files, and it is none")
        return False
    if spec.engine == "transformers":
        return False
    if not installed():
        if spec.engine is None and not given:
            _say_what_is_lost()
            return False
        raise MissingExtraError(f"member {name!r} in llama.cpp", "llama-cpp")
    foreign = [option for option in _TRANSFORMERS_OPTIONS if getattr(spec, option)]
    foreign += ["attn_implementation"] * (spec.attn_implementation != "sdpa")
    foreign += ["device"] * (spec.device not in (None, "cpu"))
    if foreign:
        hint = "n_gpu_layers says how much of it is on a GPU; " if foreign == ["device"] else ""
        raise ConfigError(
            f"member {name!r}: {foreign[0]} is for models in transformers, and llama.cpp runs this "
            f"GGUF file; {hint}leave it out, or set engine='transformers'"
        )
    return True


@functools.cache
def _say_what_is_lost() -> None:
    """Once in a process."""
    warn(
        "GGUF files are unpacked and run in transformers, which takes several times the memory and "
        "time that they take in llama.cpp: pip install 'adafuse[llama-cpp]'"
    )


@dataclass(slots=True)
class LlamaPlan:
    """A member that llama.cpp runs, checked and not loaded yet.

    Attributes:
        key: the same for members that share a runner.
        files: of the model, on this machine.
        tokenizer: one of transformers in place of the file's own, or None.
        runner: of its model, if that is in use already.
        loads: whether it is this member that loads the model.
    """

    name: str
    spec: MemberSpec
    key: tuple[Any, ...]
    files: Sequence[Path]
    tokenizer: PreTrainedTokenizerBase | None
    runner: Runner | None = None
    loads: bool = True
    reason: str = "as its GGUF file has it, in llama.cpp"

    @classmethod
    def of(
        cls, name: str, spec: MemberSpec, source: Source, tokenizer: PreTrainedTokenizerBase | None
    ) -> LlamaPlan:
        """Find the files; LoadError where parts are missing."""
        options = [getattr(spec, option) for option in LLAMA_OPTIONS]
        key = (source.identity, "llama.cpp", *options, spec.lora)
        return cls(name, spec, key, _files(source, name), tokenizer)

    @property
    def nbytes(self) -> int:
        """Bytes of its weights in memory, as far as they are to be checked."""
        checked = self.loads and self.spec.check_memory and not self.spec.n_gpu_layers
        return sum(file.stat().st_size for file in self.files) if checked else 0

    def load(self) -> LlamaRunner:
        """Load weights, and make room for what is read.

        Raises:
            LoadError, UnsupportedModelError, ConfigError: see `Weights.load`.
            LoadMemoryError: the context does not fit in memory.
        """
        spec, name = self.spec, self.name
        weights = Weights.load(self.files[0], name, gpu_layers=spec.n_gpu_layers or 0)
        threads = spec.n_threads or torch.get_num_threads()
        cells = _cells(weights, spec, name)
        lora = [Path(path).expanduser() for path in spec.lora]
        return LlamaRunner(weights, name, cells=cells, threads=threads, lora=lora)


def vocabulary_of(runner: Runner, name: str) -> Vocabulary:
    """The vocabulary of the file that a runner has loaded."""
    assert isinstance(runner, LlamaRunner)
    return LlamaVocabulary(runner.weights.pointer, name)


def _files(source: Source, name: str) -> list[Path]:
    """The file, or all parts of it, on this machine; fetched from the hub if they are there.

    LoadError where parts are missing.
    """
    assert source.gguf is not None
    names = part_names(source.gguf)
    if not source.is_local:
        revision = source.commit or source.revision  # of a commit the cache is asked first
        return [Path(hf_hub_download(source.place, file, revision=revision)) for file in names]
    files = [Path(source.place) / file for file in names]
    if missing := [file.name for file in files if not file.is_file()]:
        raise LoadError(
            f"member {name!r} is incomplete: {missing[0]} is missing beside {source.gguf}; its "
            f"{len(names)} parts belong in one folder"
        )
    return files


def _cells(weights: Weights, spec: MemberSpec, name: str) -> int:
    """How many tokens a context has: as many as are asked for, else a moderate number."""
    free = free_bytes(torch.device("cpu"))
    each = weights.cell_bytes()
    if spec.n_ctx is None:
        fitting = _MOST if free is None else free // _SHARE // max(each, 1)
        return max(min(weights.trained_context or _MOST, _MOST, fitting), _FEWEST)
    needed = spec.n_ctx * each
    if spec.check_memory and free is not None and not spec.n_gpu_layers and needed > free:
        raise LoadMemoryError(
            f"member {name!r}: the keys and values of {spec.n_ctx} tokens (n_ctx) would take "
            f"{needed / 2**20:,.0f} MiB, where {free / 2**20:,.0f} MiB are free; use a "
            "smaller n_ctx"
        )
    return spec.n_ctx
