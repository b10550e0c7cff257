"""Tools of LlamaIndex as the core takes them, and calls of an answer as LlamaIndex takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool, ToolMetadata
from pydantic import BaseModel
from pydantic_core import from_json

from adafuse.config import read_schema
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
    return {"type": "function", "function": {**function, "parameters": _parameters(metadata)}}


def _parameters(metadata: ToolMetadata) -> dict[str, Any]:
    """Of the class itself, of which LlamaIndex's own code keeps a few keywords only."""
    schema = metadata.fn_schema
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return metadata.get_parameters_dict()
    read = read_schema("a tool's fn_schema", schema)
    return {name: part for name, part in read.items() if name not in ("title", "description")}


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
