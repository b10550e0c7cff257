"""An agent with two tools, whose words are written by two models together.

    python examples/agent.py                          # three questions of our own
    python examples/agent.py "What is 12 * 34?"

The agent is LangChain's `create_agent`: it lets the ensemble call a calculator or search a
library's notices, runs what was called, shows the result, and asks again until there is an answer.
Which tool, with which arguments, is up to the members; the grammar of the tools sees to it that
every call can be run. Models this small neither begin nor stop calling tools of their own accord,
so `tool_choice` does that for them: first "any", and "none" once a tool has answered. Larger models
need no such help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

from asteval import Interpreter
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.tools import tool
from library import as_text, index_documents
from pydantic import Field
from rich.console import Console

from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse_integrations.langchain import ChatAdaFuse

QUESTIONS = [
    "What is 127 times 34?",
    "When does the library open on Saturdays?",
    "What does a lost card cost?",
]
INSTRUCTION = (
    "You answer questions. Use the calculator for arithmetic, and search the notices for anything "
    "about the library. Answer from the result of the tool, in one short sentence."
)
console = Console()


# What the tools take; the grammar holds the members to it.
Arithmetic = Annotated[str, Field(pattern=r"^[0-9]{1,9}( [*/+-] [0-9]{1,9}){1,3}$")]


Keywords = Annotated[str, Field(pattern=r"^[A-Za-z]{1,12}( [A-Za-z]{1,12}){0,3}$")]


@tool
def calculator(expression: Arithmetic) -> str:
    """Compute an arithmetic expression, such as 3 * 4 + 5."""
    compute = Interpreter(minimal=True)
    value = compute(expression, show_errors=False)
    if compute.error:  # a division by zero, say
        return str(compute.error[0].get_error()[1].splitlines()[-1])
    return f"{expression} = {value}"


class CallThenAnswer(AgentMiddleware):
    """Has tools called until one has given a result, and then an answer written."""

    def wrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Choose what the next step may be."""
        found = isinstance(request.messages[-1], ToolMessage)
        return handler(request.override(tool_choice="none" if found else "any"))


def main() -> None:
    """Answer the questions of the command line, or three of our own."""
    folders = prepare_all()
    with console.status("indexing the notices"):
        notices = index_documents(most=1)

    @tool
    def search(query: Keywords) -> str:
        """Search the notices of the library: opening hours, cards, loans, fees, rooms, history."""
        return as_text(notices.invoke(query))

    llm = ChatAdaFuse(models=[str(folder) for folder in folders.values()], max_tokens=64)
    agent = create_agent(
        llm, [calculator, search], system_prompt=INSTRUCTION, middleware=[CallThenAnswer()]
    )
    for asked in sys.argv[1:] or QUESTIONS:
        console.rule(asked, style="dim", align="left")
        question: Any = {"messages": [{"role": "user", "content": asked}]}
        for mode, update in agent.stream(question, stream_mode=["messages", "updates"]):
            show(mode, update)
        console.print()


def show(mode: str, update: Any) -> None:
    """Print words as they are fused, and calls and results when they are whole."""
    if mode == "messages":
        message, _ = update
        if isinstance(message, AIMessageChunk) and message.content:
            print(message.text, end="", flush=True)
        return
    for state in update.values():
        for message in (state or {}).get("messages", ()):
            if isinstance(message, AIMessage):
                for call in message.tool_calls:
                    console.print(
                        f"calls {call['name']} {call['args']}", style="cyan", markup=False
                    )
            elif isinstance(message, ToolMessage):
                console.print(f"→ {message.text}", style="dim", markup=False)


if __name__ == "__main__":
    with quiet_libraries():
        main()
