"""A GGUF file's weights in llama.cpp, and what the file says of its model.

Refuses what cannot read token trees. Weights are mapped from the file, so all that is read from it
in one process, or in several, is in memory once.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse.errors import ConfigError, LoadError, UnsupportedModelError
from adafuse.llama.library import complaint, forget_complaints, library
from adafuse.text.llama_vocabulary import overrides

__all__ = ["Weights"]

_LONGEST = 2**16  # bytes of a value in a file's metadata


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Weights:
    """A model that is loaded; freed once nobody refers to it.

    Attributes:
        pointer: llama.cpp's model.
        name: the member's, for messages.
    """

    pointer: Any
    name: str

    @classmethod
    def load(cls, file: Path, name: str, *, gpu_layers: int = 0) -> Weights:
        """Map a file, or all parts of one that is split.

        Raises:
            LoadError: the file is broken, a part is missing, or its architecture is unknown.
            UnsupportedModelError: the model cannot read token trees.
            ConfigError: layers are to be on a GPU, and this llama.cpp knows none.
        """
        llama = library()
        if gpu_layers and not llama.llama_supports_gpu_offload():
            raise ConfigError(
                f"member {name!r}: n_gpu_layers is {gpu_layers}, and this llama.cpp was built "
                "without a GPU; install llama-cpp-python for yours, or leave n_gpu_layers out"
            )
        options = llama.llama_model_default_params()
        options.n_gpu_layers = gpu_layers
        options.kv_overrides = kept = overrides()
        forget_complaints()
        pointer = llama.llama_model_load_from_file(bytes(file), options)
        del kept
        if not pointer:
            raise LoadError(
                f"member {name!r} ({file.name}) cannot be loaded by llama.cpp: "
                f"{complaint() or 'it does not say why'}"
            )
        weights = cls(pointer, name)
        weakref.finalize(weights, llama.llama_model_free, pointer)
        weights._refuse_unsupported(file)
        return weights

    def _refuse_unsupported(self, file: Path) -> None:
        llama = library()
        for wrong, reason in [
            (llama.llama_model_has_encoder, "has an encoder; a member is a decoder alone"),
            (llama.llama_model_is_diffusion, "is a diffusion model; it does not write in order"),
            (
                llama.llama_model_is_recurrent,
                "keeps a recurrent state, which cannot be taken back after a draft; use an "
                "attention-only model",
            ),
            (
                llama.llama_model_is_hybrid,
                "has recurrent layers, whose state cannot be taken back after a draft; use an "
                "attention-only model",
            ),
        ]:
            if wrong(self.pointer):
                raise UnsupportedModelError(f"member {self.name!r}: {self.kind} {reason}")
        if self.metadata("pooling_type", own=True) not in (None, "0", "4294967295"):
            raise UnsupportedModelError(
                f"member {self.name!r}: {self.kind} makes embeddings of texts; it writes none"
            )
        if not self.vocabulary:
            raise UnsupportedModelError(f"member {self.name!r}: {file.name} has no vocabulary")

    @property
    def kind(self) -> str:
        """The architecture's name in the file."""
        return self.metadata("general.architecture") or "the model"

    @property
    def description(self) -> str:
        """What llama.cpp calls model and quantisation."""
        buffer = ctypes.create_string_buffer(256)
        library().llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def vocab(self) -> Any:
        """llama.cpp's vocabulary of the file."""
        return library().llama_model_get_vocab(self.pointer)

    @property
    def vocabulary(self) -> int:
        """How many ids logits are for."""
        return int(library().llama_vocab_n_tokens(self.vocab))

    @property
    def trained_context(self) -> int:
        """Tokens that the model was trained to read at once."""
        return int(library().llama_model_n_ctx_train(self.pointer))

    @property
    def window(self) -> int:
        """Tokens that sliding-window layers see; 0 where there are none."""
        return int(library().llama_model_n_swa(self.pointer))

    @property
    def parameters(self) -> int:
        """How many parameters the model has."""
        return int(library().llama_model_n_params(self.pointer))

    def metadata(self, key: str, *, own: bool = False) -> str | None:
        """A value of the file's metadata as text; with `own` one of its architecture's."""
        name = f"{self.kind}.{key}" if own else key
        buffer = ctypes.create_string_buffer(_LONGEST)
        size = library().llama_model_meta_val_str(self.pointer, name.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else None

    def cell_bytes(self) -> int:
        """Bytes of keys and values of one token in all layers, in float16."""
        llama = library()
        layers, heads = (
            llama.llama_model_n_layer(self.pointer),
            llama.llama_model_n_head(self.pointer),
        )
        width = llama.llama_model_n_embd(self.pointer) // max(heads, 1)
        pairs = llama.llama_model_n_head_kv(self.pointer) or heads
        sizes = [self.metadata(f"attention.{part}_length", own=True) for part in ("key", "value")]
        wide = sum(int(size) if size and size.isdecimal() else width for size in sizes)
        return int(layers * pairs * wide * 2)
