"""An ensemble behind OpenAI's interface, and a client that knows nothing of ensembles.

    python examples/serve_client.py

Starts `python -m adafuse serve` on the two demo models as a process of its own, asks it with the
`openai` package for a streamed answer, for JSON of a schema and for a tool call, and stops it with
SIGTERM. Anything that speaks OpenAI's interface can ask in the same way.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel
from rich.console import Console

from adafuse.demo.models import prepare_all

console = Console()
RULES = "Members of the library may borrow 5 items for 21 days."


class Loan(BaseModel):
    """How much may be borrowed."""

    items: int
    days: int


class OpeningHours(BaseModel):
    """Tells when the library is open on a day of the week."""

    day: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]


@contextmanager
def server(*models: str) -> Iterator[OpenAI]:
    """A server on a free port, and a client for it; the server drains when the block ends."""
    key = secrets.token_urlsafe()
    command = [sys.executable, "-m", "adafuse", "serve", "--port", "0"]
    command += [option for model in models for option in ("--model", model)]
    environment = {**os.environ, "ADAFUSE_API_KEY": key}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            with console.status("loading members"):
                said = process.stdout.readline().strip()
            if not said:
                sys.exit("the server did not start")
            console.print(said, style="dim")
            yield OpenAI(base_url=said.split(" at ")[1], api_key=key)
        finally:
            process.send_signal(signal.SIGTERM)
            console.print(f"the server ended with code {process.wait()}", style="dim")


def main() -> None:
    """Ask three things."""
    prepare_all()
    with server("smollm2", "gemma3") as client:
        names = [model.id for model in client.models.list()]
        console.print(f"models: {', '.join(names)}\n", style="dim")

        stream = client.chat.completions.create(
            model="adafuse",
            messages=[{"role": "user", "content": "Why do libraries lend books?"}],
            max_tokens=40,
            stream=True,
            extra_body={"adafuse_details": True},
        )
        for chunk in stream:
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
            if details := (chunk.model_extra or {}).get("adafuse"):
                console.print(f"\n\nwords by member: {details['words_by_member']}", style="dim")

        parsed = client.chat.completions.parse(
            model="adafuse",
            messages=[{"role": "user", "content": f"{RULES} How many items, how many days?"}],
            response_format=Loan,
            max_tokens=60,
        )
        print(f"\n{parsed.choices[0].message.parsed!r}")

        called = client.chat.completions.create(
            model="adafuse",
            messages=[{"role": "user", "content": "When is the library open on Saturday?"}],
            tools=[pydantic_function_tool(OpeningHours, name="opening_hours")],
            tool_choice="required",
            max_tokens=80,
        )
        for call in called.choices[0].message.tool_calls or ():
            if call.type == "function":
                print(f"{call.function.name}({json.loads(call.function.arguments)})")


if __name__ == "__main__":
    main()
