"""Talk to an ensemble in a terminal; its words appear as they are fused.

    python examples/terminal.py                       # an empty line ends the conversation
    echo "Who wrote Hamlet?" | python examples/terminal.py

Words are coloured by the model that drafted them. What was said before is part of every prompt.
"""

from __future__ import annotations

import asyncio
import sys

from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from rich.console import Console

from adafuse.display import AnswerPrinter
from adafuse.models import prepare_all
from adafuse.quiet import quiet_libraries
from adafuse_integrations.langchain import ChatAdaFuse

QUESTIONS = ["What is the capital of France?", "And of Italy?"]
console = Console(stderr=True)


def questions() -> list[str] | None:
    """What is piped in, or two questions of our own; None where somebody can type."""
    if sys.stdin.isatty():
        return None
    return [line.strip() for line in sys.stdin if line.strip()] or QUESTIONS


async def answer(llm: ChatAdaFuse, messages: list[BaseMessage], printer: AnswerPrinter) -> None:
    """Stream one answer, and add it to the conversation."""
    whole = AIMessageChunk(content="")
    async for chunk in llm.astream(messages):
        printer.write(chunk.text, chunk.response_metadata.get("member", ""))
        whole += chunk
    printer.end()
    messages.append(whole)


async def main() -> None:
    """Hold a conversation."""
    folders = prepare_all()
    llm = ChatAdaFuse(models=[str(folder) for folder in folders.values()], max_tokens=48)
    printer = AnswerPrinter(sys.stdout, list(folders))
    messages: list[BaseMessage] = [SystemMessage("You answer in one short sentence.")]
    given = questions()
    while True:
        if given is not None:
            asked = given.pop(0) if given else ""
            console.print(f"> {asked}" if asked else "", style="bold", markup=False)
        else:
            asked = (await asyncio.to_thread(console.input, "[bold]> [/]")).strip()
        if not asked:
            return
        messages.append(HumanMessage(asked))
        await answer(llm, messages, printer)


if __name__ == "__main__":
    with quiet_libraries():
        asyncio.run(main())
