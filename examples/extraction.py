"""Facts from a document, as objects of a Pydantic class.

    python examples/extraction.py

The schema of the class is the grammar of the answer: whatever the models know, what they write can
be read. Each field's bounds hold while they write it.
"""

from __future__ import annotations

from typing import Literal

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from adafuse.cli.quiet import quiet_libraries
from adafuse.demo.models import prepare_all
from adafuse_integrations.langchain import ChatAdaFuse

NOTICES = [
    "The town bought the empty building in 1964.",
    "The library opened on 3 May 1967 with eleven thousand books.",
    "The glass roof was replaced in 2009, and solar panels were added on the south side.",
]
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "You read notices of a library and write down what happened."),
        ("user", "Notice: {notice}\n\nWrite down the year, what happened, and what it is about."),
    ]
)


class Event(BaseModel):
    """One event in the history of a building."""

    year: int = Field(ge=1000, le=2100, description="the year in which it happened")
    event: str = Field(max_length=40, description="what happened, in a few words")
    about: Literal["building", "collection", "people"]


def main() -> None:
    """Read every notice and show what was found."""
    console = Console()
    llm = ChatAdaFuse(models=[str(f) for f in prepare_all().values()], max_tokens=64)
    chain = PROMPT | llm.with_structured_output(Event)
    table = Table("notice", "year", "event", "about", box=None)
    with console.status("reading the notices"):
        for notice in NOTICES:
            found = Event.model_validate(chain.invoke({"notice": notice}))
            table.add_row(notice, str(found.year), found.event, found.about)
    console.print(table)


if __name__ == "__main__":
    with quiet_libraries():
        main()
