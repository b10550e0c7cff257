"""The formats of strings as regexes: what is written as one of them says reads as that format.

Each regex is narrower than its standard, so that stricter readers (Pydantic's types, say) take
every match: no leap seconds, no year 0000, domains with a dot in addresses, http and https only.
"""

from __future__ import annotations

import re

__all__ = ["FORMATS", "NAIVE", "UNENFORCEABLE"]

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_CLOCK = rf"{_HOUR}:[0-5][0-9](?:\.[0-9]{{1,6}})?"
_TIME = f"{_CLOCK}(?:Z|[+-]{_HOUR})"
_SPAN = "T(?:#H(?:#M(?:#S)?)?|#M(?:#S)?|#S)"
_DURATION = f"P(?:#W|(?:#Y(?:#M(?:#D)?)?|#M(?:#D)?|#D)(?:{_SPAN})?|{_SPAN})".replace(
    "#", "[0-9]{1,4}"
)

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [f"(?:{_GROUP}:){{7}}{_GROUP}", f"(?:{_GROUP}(?::{_GROUP}){{0,5}})?::"]
    + [f"(?:{_GROUP}(?::{_GROUP}){{0,{5 - n}}})?::(?:{_GROUP}:){{{n}}}{_GROUP}" for n in range(6)]
)
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"
# No "--", which begins encoded names. The last label is no number, and no reserved name.
_PART = "[a-z0-9]{1,15}(?:-[a-z0-9]{1,15}){0,2}"
_LAST = "(?:[a-z]{2,3}|[a-z]{6}|info|name|mobi|site|tech|shop|blog|store|cloud|email|world)"
_DOMAIN = rf"(?:{_PART}\.){{1,3}}{_LAST}"
_WORD = "[a-zA-Z0-9_]{1,15}"
_EMAIL = rf"{_WORD}(?:[.+-]{_WORD}){{0,3}}@{_DOMAIN}"
_CHARACTER = r"(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9a-fA-F]{2})"
_HOST = rf"(?:{_DOMAIN}|localhost|{_IPV4})(?::[1-9][0-9]{{0,3}})?"
_TAIL = rf"(?:\?(?:{_CHARACTER}|[/?:])*)?(?:#(?:{_CHARACTER}|[/?:])*)?"
_URI = rf"https?://{_HOST}(?:/{_CHARACTER}*)*{_TAIL}"
_REFERENCE = rf"(?:https?://{_HOST}|{_CHARACTER}+)?(?:/{_CHARACTER}+)*/?{_TAIL}"
_POINTER = "(?:/(?:[^/~]|~[01])*)+"
_HEX = "[0-9a-fA-F]"


def _uuid(version: str = _HEX, variant: str = _HEX) -> str:
    return f"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-{variant}{_HEX}{{3}}-{_HEX}{{12}}"


def _base64(last: str) -> str:
    """Text in base64, of characters that take one byte: 0xxxxxxx is xxxxxx, xx…"""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + last
    one, two, three, four, half, less = (
        "[" + "".join(re.escape(digit) for at, digit in enumerate(digits) if not at & zeros) + "]"
        for zeros in (0b100000, 0b001000, 0b000010, 0, 0b001111, 0b000011)
    )
    return f"(?:{one}{two}{three}{four})*(?:{one}{half}==|{one}{two}{less}=)?"


_ATOM = (
    r"(?:[A-Za-z0-9 _@:/,-]|\\[dwsDWS.+*?()\[\]{}|^$\\]|\."
    r"|\[\^?(?:a-z|A-Z|0-9|[A-Za-z0-9_ ]|\\[dws])+\])"
)
_BODIES = {
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "time": _TIME,
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "name-email": _EMAIL,
    "hostname": rf"{_LABEL}(?:\.{_LABEL}){{0,5}}",
    "idn-hostname": rf"{_PART}(?:\.{_PART}){{0,3}}",
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "ipvanyaddress": f"{_IPV4}|{_IPV6}",
    "ipv4network": f"{_IPV4}(?:/32)?",
    "ipv6network": f"(?:{_IPV6})(?:/128)?",
    "ipvanynetwork": f"{_IPV4}(?:/32)?|(?:{_IPV6})(?:/128)?",
    "ipv4interface": f"{_IPV4}(?:/(?:[12]?[0-9]|3[0-2]))?",
    "ipv6interface": f"(?:{_IPV6})(?:/(?:[1-9]?[0-9]|1[01][0-9]|12[0-8]))?",
    "ipvanyinterface": f"(?:{_IPV4}|{_IPV6})(?:/(?:[12]?[0-9]|3[0-2]))?",
    "uri": _URI,
    "iri": _URI,
    "uri-reference": _REFERENCE,
    "iri-reference": _REFERENCE,
    "uuid": _uuid(),
    **{f"uuid{version}": _uuid(str(version), "[89abAB]") for version in (1, 3, 4, 5, 6, 7, 8)},
    "json-pointer": f"(?:{_POINTER})?",
    "relative-json-pointer": f"(?:0|[1-9][0-9]{{0,3}})(?:#|{_POINTER})",
    "regex": rf"\^?(?:{_ATOM}(?:[*+?]|\{{[1-9]\}})?)+\$?",
    "base64": _base64("+/"),
    "base64url": _base64("-_"),
    "byte": _base64("+/"),
}

FORMATS = {name: f"^(?:{body})$" for name, body in _BODIES.items()}
"""Regexes of whole texts, in Python's syntax. Other formats are notes to the reader."""

NAIVE = f"^{_DATE}T{_CLOCK}$"
"""A moment without a time zone, which no format is."""

UNENFORCEABLE = ("json-string", "multi-host-uri", "uri-template")
"""Formats that readers check and that no regex here covers."""
