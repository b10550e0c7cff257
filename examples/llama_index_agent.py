"""A LlamaIndex function agent with two tools, whose words are written by two models together.

    python examples/llama_index_agent.py                  # two questions of our own
    python examples/llama_index_agent.py "What is 12 times 34?"

Which tool, with which arguments, is up to the members; the grammar of the tools sees to it that
every call can be run. Models this small neither begin nor stop calling tools of their own accord:
`initial_tool_choice` has the agent begin with a call, and `answer_after_tools` end with an answer,
which `regex` holds to plain sentences. Larger models need none of the three.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

from library import llama_index
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field
from rich.console import Console

from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse_integrations.llama_index import AdaFuseLLM

QUESTIONS = ["What is 127 times 34?", "What does a lost card cost?"]
INSTRUCTION = (
    "You answer questions. Multiply with the tool, and search the notices for anything about the "
    "library. Answer from the result of the tool, in one short sentence."
)
SENTENCES = r"[A-Z][^<>\n]{8,120}[.]"
console = Console()


# What the tools take; the grammar holds the members to it.
class Factors(BaseModel):
    a: int = Field(ge=0, le=9999)
    b: int = Field(ge=0, le=9999)


class Topic(BaseModel):
    topic: Literal["opening hours", "library cards", "loans", "fees", "rooms", "history"]


def multiply(a: int, b: int) -> str:
    """Multiply two whole numbers."""
    return f"{a} * {b} = {a * b}"


async def main() -> None:
    """Answer the questions of the command line, or two of our own."""
    folders = prepare_all()
    with console.status("indexing the notices"):
        notices = llama_index().as_retriever(similarity_top_k=1)

    def search(topic: str) -> str:
        """Search the notices of the library for a topic."""
        return " ".join(found.text for found in notices.retrieve(topic))

    agent = FunctionAgent(
        tools=[
            FunctionTool.from_defaults(multiply, fn_schema=Factors),
            FunctionTool.from_defaults(search, fn_schema=Topic),
        ],
        llm=AdaFuseLLM(
            models=[str(folder) for folder in folders.values()],
            max_tokens=48,
            answer_after_tools=True,
            regex=SENTENCES,
        ),
        system_prompt=INSTRUCTION,
        initial_tool_choice="any",
        allow_parallel_tool_calls=False,
    )
    for asked in sys.argv[1:] or QUESTIONS:
        console.rule(asked, style="dim", align="left")
        running = agent.run(asked)
        async for event in running.stream_events():
            if isinstance(event, AgentStream):
                print(event.delta, end="", flush=True)
            elif isinstance(event, ToolCallResult):
                called = f"calls {event.tool_name} {event.tool_kwargs}"
                console.print(called, style="cyan", markup=False)
                console.print(f"→ {event.tool_output.content}", style="dim", markup=False)
        await running
        print("\n")


if __name__ == "__main__":
    with quiet_libraries():
        asyncio.run(main())
