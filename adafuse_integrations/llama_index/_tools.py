"""Tools of LlamaIndex as the core takes them, and calls of an answer as LlamaIndex takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from pydantic_core import from_json

from adafuse.errors import PromptError

__all__ = ["core_tools", "selections"]


def core_tools(tools: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Tools in OpenAI's format; those that have it already as they are."""
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise PromptError(f"tools must be a list of tools, not {type(tools).__name__}")
    return [_core_tool(index, tool) for index, tool in enumerate(tools)]


def _core_tool(index: int, tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return tool
    if not isinstance(tool, BaseTool):
        kind = type(tool).__name__
        raise PromptError(f"tool {index} must be a LlamaIndex tool or a mapping, not {kind}")
    metadata = tool.metadata
    # The name as it is: LlamaIndex finds the tool by it, and its own `to_openai_tool` changes it.
    function = {"name": metadata.name, "description": metadata.description}
    return {
        "type": "function",
        "function": {**function, "parameters": metadata.get_parameters_dict()},
    }


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls in a response; of one that is being written, the arguments as far as they go."""
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_arguments(block.tool_kwargs),
        )
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _arguments(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(arguments, Mapping):
        return dict(arguments)
    with suppress(ValueError):
        begun = from_json(arguments, allow_partial="trailing-strings")
        return begun if isinstance(begun, dict) else {}
    return {}
