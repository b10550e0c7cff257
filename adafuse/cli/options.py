"""The command's options for decoding, which other commands may have too.

Their defaults are those of `DecodingConfig`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from adafuse.config import DecodingConfig, OnMemberError, Scoring, Weighting
from adafuse.presets import PRESETS

DEFAULTS = DecodingConfig()
_DECODING, _LIMITS = "Decoding", "Limits and faults"  # headings in --help

Presets = StrEnum("Presets", list(PRESETS))  # type: ignore[misc]

MaxNewTokens = Annotated[
    int, typer.Option(help="Tokens of the first member.", rich_help_panel=_DECODING)
]
Stop = Annotated[
    list[str] | None,
    typer.Option(help="Text that ends the answer; may be repeated.", rich_help_panel=_DECODING),
]
Preset = Annotated[
    Presets | None,
    typer.Option(
        help="Settings by name, for those options that are not given: paper (the defaults), or "
        "recommended, which evidence favours.",
        rich_help_panel=_DECODING,
    ),
]
MarginThreshold = Annotated[
    float,
    typer.Option(help="Margin from which on a word is confident.", rich_help_panel=_DECODING),
]
MaxWords = Annotated[
    int, typer.Option(help="Most words proposed in a round.", rich_help_panel=_DECODING)
]
Branches = Annotated[
    int, typer.Option(help="Proposals of an uncertain member.", rich_help_panel=_DECODING)
]
MaxWordTokens = Annotated[
    int, typer.Option(help="A longer word is cut into rounds.", rich_help_panel=_DECODING)
]
Weight = Annotated[
    list[float] | None,
    typer.Option(
        help="Weight of a member's scores; once per --model, in order. Default: equal.",
        rich_help_panel=_DECODING,
    ),
]
WeightingOption = Annotated[
    Weighting,
    typer.Option(
        help="fixed; perplexity: members that predict the question well count more; "
        "consistency: so do, in each round, those that are sure and agree.",
        rich_help_panel=_DECODING,
    ),
]
ScoringOption = Annotated[
    Scoring,
    typer.Option(help="Scores are means per token, byte or word.", rich_help_panel=_DECODING),
]
Leader = Annotated[
    str | None,
    typer.Option(
        help="A member, by name or place from 0: its confident words need nobody's consent.",
        rich_help_panel=_DECODING,
    ),
]
ContestedOnly = Annotated[
    bool,
    typer.Option(
        "--contested-only",
        help="Score only where the members' likeliest words differ.",
        rich_help_panel=_DECODING,
    ),
]
Temperature = Annotated[
    float, typer.Option(help="0 takes the best candidate.", rich_help_panel=_DECODING)
]
Seed = Annotated[
    int | None, typer.Option(help="For a temperature above 0.", rich_help_panel=_DECODING)
]
RepetitionPenalty = Annotated[float, typer.Option(help="1 is off.", rich_help_panel=_DECODING)]
Speculation = Annotated[
    bool,
    typer.Option(help="Read ahead; the answer is the same.", rich_help_panel=_DECODING),
]
JsonSchema = Annotated[
    str | None,
    typer.Option(
        help="The answer is JSON of this schema: a file, or the schema itself.",
        rich_help_panel=_DECODING,
    ),
]
Regex = Annotated[
    str | None, typer.Option(help="The answer matches it.", rich_help_panel=_DECODING)
]
Choice = Annotated[
    list[str] | None,
    typer.Option(help="The answer is one of these; repeat it.", rich_help_panel=_DECODING),
]
Grammar = Annotated[
    str | None,
    typer.Option(
        help="The answer is a sentence of this Lark grammar: a file, or the grammar itself.",
        rich_help_panel=_DECODING,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(help="Seconds that the answer may take.", rich_help_panel=_LIMITS),
]
RoundTimeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that a member may take for its part of a round.", rich_help_panel=_LIMITS
    ),
]
OnMemberErrorOption = Annotated[
    OnMemberError,
    typer.Option(
        help="When a member fails: raise an error, or drop the member and go on.",
        rich_help_panel=_LIMITS,
    ),
]
MinMembers = Annotated[
    int, typer.Option(help="With drop, how many must remain.", rich_help_panel=_LIMITS)
]
