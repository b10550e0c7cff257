"""Options that commands share; those for decoding are made of the settings of `adafuse.config`.

An option has its setting's name with hyphens, its default and its description. This module knows
by name only those settings that a shell gives in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from enum import StrEnum
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from adafuse.cli.common import file_or_text, read_json
from adafuse.config import DECODING, DecodingConfig
from adafuse.presets import ABOUT_PRESETS, PRESETS
from adafuse.spec import MAX_MEMBERS

__all__ = ["Device", "Dtype", "Models", "decoding_options", "models_option"]

Command = Callable[..., None]
Device = Annotated[
    str | None, typer.Option(help="Such as cpu or cuda:1. Default: CUDA if there is one.")
]


def models_option(least: int) -> Any:
    """The option of members, which are at least so many, or an `ensemble.yaml`."""
    return typer.Option(
        "--model",
        "-m",
        help=f"A member, {least} to {MAX_MEMBERS} times: hub id, local folder, GGUF file, a demo "
        "model's short name (smollm2, gemma3), or a JSON specification such as "
        '\'{"model": "org/x", "dtype": "bfloat16"}\'. Or once: the ensemble.yaml that '
        "`adafuse fit` wrote.",
    )


Models = Annotated[list[str], models_option(1)]
Dtype = Annotated[
    str | None, typer.Option(help="Such as float32 or bfloat16. Default: by checkpoint and device.")
]

_REPEATED = {"weights": "weight", "choices": "choice"}  # each use of the option gives one
_READ: Mapping[str, Callable[[str], Any]] = {  # given as text
    "json_schema": partial(read_json, "--json-schema"),
    "grammar": file_or_text,
}
_NOTES = {
    "weights": " Once per --model.",
    **dict.fromkeys(("stop", "choices"), " May be repeated."),
    **dict.fromkeys(("json_schema", "grammar"), " A file, or the text itself."),
}
_TYPES = get_type_hints(DecodingConfig)


def _row(setting: Field[Any]) -> tuple[Any, Any, str, str]:
    """Type, default, description and heading of a setting's option."""
    kind = str | None if setting.name in _READ else _TYPES[setting.name]
    for part in (kind, *get_args(kind)):
        if get_origin(part) in (tuple, Sequence):
            kind = list[get_args(part)[0]] | None  # type: ignore[misc]
    default = None if setting.default == () else setting.default
    return kind, default, setting.metadata["description"], setting.metadata["about"]


_PRESET = StrEnum("_PRESET", list(PRESETS)) | None  # type: ignore[operator]
_OPTIONS = {setting.name: _row(setting) for setting in fields(DecodingConfig)}
_OPTIONS["preset"] = (_PRESET, None, ABOUT_PRESETS, DECODING)


def decoding_options(*names: str, **defaults: Any) -> Callable[[Command], Command]:
    """Give a command options for decoding settings: these, or all and `preset` if none is named.

    The command's argument `settings` has those that are given, as `DecodingConfig.override` takes
    them.

    Args:
        defaults: settings that the command is always given, with defaults of its own.
    """
    chosen = [*names, *defaults] or list(_OPTIONS)

    def decorate(command: Command) -> Command:
        def run(context: typer.Context, **arguments: Any) -> None:
            settings = {}
            for name in chosen:
                value = arguments.pop(option := _REPEATED.get(name, name))
                source = context.get_parameter_source(option)
                if name in defaults or getattr(source, "name", "") != "DEFAULT":
                    settings[name] = _READ[name](value) if name in _READ else value
            command(**arguments, settings=settings)

        own = signature(command, eval_str=True).parameters.values()
        run.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
                *(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "settings"),
                *(_parameter(name, defaults) for name in chosen),
            ]
        )
        return run

    return decorate


def _parameter(name: str, defaults: Mapping[str, Any]) -> Parameter:
    """The option of a setting, as Typer reads it from a signature."""
    kind, default, description, heading = _OPTIONS[name]
    option, default = _REPEATED.get(name, name), defaults.get(name, default)
    flag = [f"--{option.replace('_', '-')}"] if default is False else []  # has no opposite
    info = typer.Option(*flag, help=description + _NOTES.get(name, ""), rich_help_panel=heading)
    return Parameter(
        option, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )
