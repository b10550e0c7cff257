"""Talk to an ensemble in a terminal; its words appear as they are fused.

    python examples/terminal.py                       # an empty line ends the conversation
    echo "Who wrote Hamlet?" | python examples/terminal.py

Words are coloured by the model that drafted them. What was said before is part of every prompt.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from rich.console import Console

from adafuse.cli.display import AnswerPrinter
from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse_integrations.langchain import ChatAdaFuse

QUESTIONS = ["What is the capital of France?", "And of Italy?"]
console = Console(stderr=True)


class ShowWords(BaseCallbackHandler):
    """Prints each word in the colour of the member that drafted it."""

    def __init__(self, printer: AnswerPrinter) -> None:
        self.printer = printer

    def on_llm_new_token(self, token: str | list[Any], *, chunk: Any = None, **kwargs: Any) -> None:
        told = chunk.round if chunk is not None else None  # the last chunk has no word
        self.printer.write(str(token), told["member"] if told else "")


def questions() -> list[str] | None:
    """What is piped in, or two questions of our own; None where somebody can type."""
    if sys.stdin.isatty():
        return None
    return [line.strip() for line in sys.stdin if line.strip()] or QUESTIONS


def ask(given: list[str] | None) -> str:
    """The next question; empty when there are no more."""
    if given is None:
        return console.input("[bold]> [/]").strip()
    asked = given.pop(0) if given else ""
    if asked:
        console.print(f"> {asked}", style="bold", markup=False)
    return asked


def main() -> None:
    """Hold a conversation."""
    folders = prepare_all()
    llm = ChatAdaFuse(models=[str(folder) for folder in folders.values()], max_tokens=48)
    printer = AnswerPrinter(sys.stdout, list(folders))
    config: RunnableConfig = {"callbacks": [ShowWords(printer)]}
    messages: list[BaseMessage] = [SystemMessage("You answer in one short sentence.")]
    given = questions()
    while asked := ask(given):
        messages.append(HumanMessage(asked))
        answer = AIMessageChunk(content="")
        for chunk in llm.stream(messages, config):  # the callback prints its words
            answer += chunk
        printer.write("\n", "")
        messages.append(answer)


if __name__ == "__main__":
    with quiet_libraries():
        main()
