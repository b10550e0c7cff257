"""What a chat ensemble can do, as LangChain's model profile says it."""

from __future__ import annotations

from langchain_core.language_models import ModelProfile

__all__ = ["chat_profile"]


def chat_profile(window: int | None) -> ModelProfile:
    """The profile of any ensemble; `window` is in tokens of the member that has the smallest."""
    profile = ModelProfile(
        text_inputs=True,
        text_outputs=True,
        image_inputs=False,
        image_url_inputs=False,
        pdf_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        image_tool_message=False,
        pdf_tool_message=False,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=False,
        tool_calling=True,
        tool_choice=True,
        tool_call_streaming=True,
        structured_output=True,
    )
    if window is not None:
        profile["max_input_tokens"] = window
    return profile
