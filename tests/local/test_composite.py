"""A model with a vision part: what counts is the text part, which is all that is run."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, SiglipVisionConfig

from adafuse import Ensemble, UnsupportedModelError
from adafuse.local.member import LocalMember
from families import family

PROMPTS = ("Hello world, this is", "def add(a, b):\n    return", "x < 5 and")


@functools.cache
def composite() -> Any:
    """Gemma 3 with a vision part; its text part has the weights of the family of that name."""
    text = family("gemma3", 1)[0]
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    config = Gemma3Config(
        text_config=text.config, vision_config=vision, mm_tokens_per_image=4, image_token_index=5,
        boi_token_index=6, eoi_token_index=7, tie_word_embeddings=False,
    )  # fmt: skip
    model: Any = Gemma3ForConditionalGeneration._from_config(config, attn_implementation="sdpa")
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    model.generation_config.eos_token_id = text.generation_config.eos_token_id
    return model


@pytest.fixture
def model() -> Any:
    found = composite()
    found.set_attn_implementation("sdpa")
    yield found
    found.set_attn_implementation("sdpa")


@pytest.mark.parametrize("text", ["sdpa", "eager"])
@pytest.mark.parametrize("whole", ["sdpa", "eager"])
def test_masks_are_those_that_the_text_part_takes(model: Any, text: str, whole: str) -> None:
    model.set_attn_implementation({"": whole, "vision_config": whole, "text_config": text})
    member = LocalMember(model, family("gemma3", 1)[1], "m")
    alone = LocalMember(*family("gemma3", 1), "m")
    for prompt in PROMPTS:
        asked: dict[str, Any] = {"prompt": prompt, "branches": 3, "max_new_tokens": 24}
        assert Ensemble([member]).generate(**asked).text == Ensemble([alone]).generate(**asked).text


def test_an_attention_of_the_text_part_that_takes_no_tree_mask_is_refused(model: Any) -> None:
    model.config.text_config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UnsupportedModelError, match="'flash_attention_2' cannot take a tree mask"):
        LocalMember(model, family("gemma3", 1)[1], "m")


def test_an_attention_of_the_vision_part_does_not_matter(model: Any) -> None:
    model.config._attn_implementation_internal = "flash_attention_2"
    model.config.vision_config._attn_implementation_internal = "flash_attention_2"
    member = LocalMember(model, family("gemma3", 1)[1], "m")
    assert Ensemble([member]).generate("Hello", max_new_tokens=4).rounds


def test_a_composite_checkpoint_is_loaded_as_a_member(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    family("gemma3", 1)[1].save_pretrained(tmp_path)
    loaded = Ensemble.load([str(tmp_path)])
    alone = Ensemble([LocalMember(*family("gemma3", 1), "m")])
    asked: dict[str, Any] = {"prompt": PROMPTS[0], "max_new_tokens": 16}
    assert loaded.generate(**asked).text == alone.generate(**asked).text
