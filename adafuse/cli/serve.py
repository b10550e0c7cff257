"""`python -m adafuse serve`: the server, from the shell. It prints its address once it answers."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any

import typer

from adafuse.cli.common import OneLineErrors, read_members
from adafuse.cli.options import Device, Dtype, Models, decoding_options
from adafuse.cli.quiet import quiet_libraries
from adafuse.config import LIMITS, DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError, MissingExtraError
from adafuse.presets import with_preset
from adafuse.spec import MAX_MEMBERS, as_spec

__all__ = ["app"]

_LOCAL = ("127.0.0.1", "::1", "localhost")
_HELP = (
    "Serve an ensemble to any client of OpenAI's interface: chat completions, completions, "
    "streams, tools, JSON schemas.\n\n"
    "It listens at once, says on standard output where once the members are loaded, and ends on "
    "SIGTERM or Ctrl-C when the answers being written are whole; on a second one at once."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=OneLineErrors, help=_HELP)
@decoding_options("preset", "on_member_error", "min_members", "round_timeout")
def _serve(
    model: Models,
    name: Annotated[
        str, typer.Option(help="The ensemble's name as a model; members have theirs.")
    ] = "adafuse",
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="ADAFUSE_API_KEY",
            show_envvar=True,
            help="A key that callers must show; may be repeated. In the environment, several are "
            "apart by blanks; there, other users of this machine do not see it.",
        ),
    ] = None,
    max_concurrency: Annotated[
        int,
        typer.Option(min=1, help="Answers decoded at the same time.", rich_help_panel=LIMITS),
    ] = 8,
    max_queue: Annotated[
        int,
        typer.Option(
            min=0, help="Answers that may wait; more are refused.", rich_help_panel=LIMITS
        ),
    ] = 64,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds that an answer may take, waiting included. Default: no limit.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_body_mb: Annotated[
        int, typer.Option(min=1, help="MiB of a request's body.", rich_help_panel=LIMITS)
    ] = 4,
    drain_seconds: Annotated[
        float,
        typer.Option(
            min=0, help="How long answers may go on once it is to end.", rich_help_panel=LIMITS
        ),
    ] = 30.0,
    device: Device = None,
    dtype: Dtype = None,
    *,
    settings: dict[str, Any],
) -> None:
    """Serve; its help is `_HELP`."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtraError("adafuse serve", "serve") from None
    from adafuse.concurrency.admission import Admission
    from adafuse.serve.app import create_app
    from adafuse.serve.server import Server, listen
    from adafuse.serve.service import RequestService

    members, of_file = read_members(model, to_answer=True)
    settings |= {"timeout": timeout}
    DecodingConfig().override(**of_file).override(
        **settings
    )  # what is refused should not wait for models
    keys = api_key or []
    for option, values in (("--api-key", keys), ("--name", [name])):
        if not all(value.strip() for value in values):
            raise ConfigError(f"{option} is empty")
    if len(members) > MAX_MEMBERS:
        raise ConfigError(f"an ensemble has 1 to {MAX_MEMBERS} members, not {len(members)}")
    specs = [as_spec(member) for member in members]
    settings = {**of_file, **with_preset(settings)}
    listening = listen(host, port)
    service = RequestService(name, Admission(max_concurrency, max_queue))
    served = create_app(service, keys=keys, max_body_bytes=max_body_mb * 2**20)
    server = Server(served, service, drain_seconds=drain_seconds)
    if not keys and host not in _LOCAL:
        print(f"warning: whoever reaches {host} may ask; give --api-key", file=sys.stderr)

    def load() -> Ensemble:
        return Ensemble.load(specs, device=device, dtype=dtype, **settings)

    def ready() -> None:
        bound = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {name} at http://{shown}:{bound}/v1", flush=True)

    with quiet_libraries():  # members that are dropped are logged, and named in answers
        asyncio.run(server.run_until_told(listening, load, ready))
    sys.stdout.flush()
    if server.left_behind:
        os._exit(0)  # a member that does not come back is not waited for
