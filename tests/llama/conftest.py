"""What tests of llama.cpp share; all of them are left out where it is not installed."""

from typing import Any

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python, the extra llama-cpp, is not installed")
pytest.importorskip("gguf", reason="gguf, which writes the tests' files, is not installed")


@pytest.fixture
def wide_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values in float32, and attention that adds up in it."""
    from adafuse.llama.library import library

    llama = library()
    defaults = llama.llama_context_default_params

    def wide() -> Any:
        options = defaults()
        options.type_k = options.type_v = llama.GGML_TYPE_F32
        options.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return options

    monkeypatch.setattr(llama, "llama_context_default_params", wide)
