"""The commands beside asking, and what to do with a word that is nearly one of them."""

from __future__ import annotations

import re
from difflib import get_close_matches

from adafuse.errors import ConfigError

__all__ = ["COMMANDS", "refuse_mistyped"]

COMMANDS = ("chat", "compare", "fit", "serve")
"""Each is a module of this package, with an `app`."""

_WORD = re.compile("[a-z]+")
_NEAR = 0.8  # `get_close_matches`: compar, serv, fitt


def refuse_mistyped(question: str = "") -> None:
    """Raise ConfigError for a question that is one word, and a command or nearly one.

    Models would answer it after a wait, and nobody would know why.
    """
    if not _WORD.fullmatch(question):
        return
    ask = f"to ask it as a question, write it with a mark, as {question + '?'!r}"
    if question in COMMANDS:
        raise ConfigError(f"a command stands first: adafuse {question} …; {ask}")
    mixed = [name for name in COMMANDS if sorted(name) == sorted(question)]  # fti, caht
    if near := mixed or get_close_matches(question, COMMANDS, n=1, cutoff=_NEAR):
        raise ConfigError(f"there is no command {question!r}; did you mean {near[0]!r}? {ask}")
