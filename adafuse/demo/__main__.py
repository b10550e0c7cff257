"""`python -m adafuse.demo`: prepare the demo models, and print their folders."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from adafuse.demo.models import (
    SENTENCE_EMBEDDING,
    gguf_files,
    prepare_all,
    sentence_embedding_folder,
)
from adafuse.errors import ModelPreparationError


def _main(
    verify: Annotated[bool, typer.Option(help="Hash every file of prepared models.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="The cache folder, instead of ADAFUSE_CACHE.")
    ] = None,
    gguf: Annotated[
        bool | None,
        typer.Option(help="Their GGUF files too. Default: where llama-cpp-python is installed."),
    ] = None,
) -> None:
    """Prepare the demo models and the sentence-embedding model, and print where they are."""
    if gguf is None:
        gguf = find_spec("llama_cpp") is not None
    try:
        folders = prepare_all(cache=cache, verify=verify)
        folders[SENTENCE_EMBEDDING.name] = sentence_embedding_folder(cache=cache, verify=verify)
        if gguf:
            files = gguf_files(cache=cache, verify=verify)
            folders.update({f"{name}-gguf": file for name, file in files.items()})
    except ModelPreparationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    for name, folder in folders.items():
        typer.echo(f"{name}\t{folder}")


if __name__ == "__main__":
    typer.run(_main)
