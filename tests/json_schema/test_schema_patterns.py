"""Regexes, formats and bounds of numbers: what is let through is what every reader takes."""

import datetime
import json
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, Base64Str, HttpUrl, TypeAdapter
from pydantic import networks as net

from adafuse.json_schema.formats import FORMATS
from adafuse.json_schema.numeric_bounds import (
    EXACT,
    is_exact,
    is_readable,
    lower_bound,
    upper_bound,
)
from adafuse.json_schema.regexes import PatternError, read_pattern
from grammar_walks import is_taken, start, texts

CHARACTERS = '"\\/ab_Z09-[]&~\n\t\r\f\bé٣ʂ\u00a0\u2028😀^$ '
CLASSES = (
    *(r"[^\"]", r"[^\\]", r"[^\"\\]", r"[\x00-\x1f]", r"[\x00-\xff]", r"[^\n]", r"[^\t\n\r\f\x08]"),
    *(r"[\[&~\-\]]", r"[^\W_]", r"[\D]", r"[\W\d]", r"[^\s]", r"[\S]", r"[^\S]", r"[^a]", "."),
    *(r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"[\-\\/]", r"[\w-]"),
)
FOLLOWED = {
    "^a|b$": (["ax", "xb"], ["xa"]),
    r"\Aab\Z": (["ab"], ["xab", "abx"]),
    "a{,2}$": (["", "aa"], []),
    "^(?P<n>a|bc){2,3}$": (["aa", "abca"], ["a", "aaaa"]),
    r"^\x61\u00e9\/\-\.$": (["aé/-."], ["aé/-x"]),
    "(?:^|,)x(?:,|$)": (["x", "a,x"], ["ax"]),
    "^a+?b*?$": (["aab"], [""]),
    "": (["", "x"], []),
}
UNFOLLOWED = (
    *(r"^(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", r"\bа", r"a\B", "(?>a)", "a++", "(a)?(?(1)b|c)"),
    *("(?i)a", "(?s:.)", "(?x) a", r"[\ud800-\uffff]", "[[:alpha:]]", "a{e}", r"\x{61}"),
    *(
        "(?m)^a",
        "(?a)a",
        "(",
        "a**",
        "[b-a]",
        r"\p{L}",
        "\ud800",
        "[\ud800]",
        "(" * 5000 + ")" * 5000,
    ),
)


@pytest.mark.parametrize("regex", CLASSES)
def test_a_class_takes_no_character_that_python_does_not(regex: str) -> None:
    matcher = start({"type": "string", "pattern": f"{regex}$", "maxLength": 1})
    taken = {one for one in CHARACTERS if is_taken(matcher, json.dumps(one, ensure_ascii=False))}
    should = {one for one in CHARACTERS if re.search(f"{regex}$", one)}
    assert taken <= should
    assert {one for one in should if one.isascii()} - {"\r"} <= taken


def test_a_class_that_other_engines_read_otherwise_is_read_as_python_does() -> None:
    with pytest.warns(FutureWarning):
        matcher = start({"type": "string", "pattern": "^[a-c&&b]$"})
    assert [one for one in "abcd&" if is_taken(matcher, f'"{one}"')] == list("abc&")


@pytest.mark.parametrize("regex", FOLLOWED)
def test_a_regex_means_what_it_means_to_python(regex: str) -> None:
    matcher = start({"type": "string", "pattern": regex})
    for text in FOLLOWED[regex][0]:
        assert re.search(regex, text)
        assert is_taken(matcher, json.dumps(text, ensure_ascii=False)), text
    for text in FOLLOWED[regex][1]:
        assert not is_taken(matcher, json.dumps(text, ensure_ascii=False)), text


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # Python's own, of sets
@pytest.mark.parametrize("regex", UNFOLLOWED)
def test_a_regex_that_cannot_be_followed_is_refused(regex: str) -> None:
    with pytest.raises(PatternError):
        read_pattern(regex)


def _reads(kind: Any) -> Callable[[str], Any]:
    return TypeAdapter(kind).validate_python


READERS: dict[str, tuple[Callable[[str], Any], ...]] = {
    "date": (_reads(datetime.date), datetime.date.fromisoformat),
    "date-time": (_reads(datetime.datetime), datetime.datetime.fromisoformat),
    "time": (_reads(datetime.time), datetime.time.fromisoformat),
    "duration": (_reads(datetime.timedelta),),
    "ipv4": (_reads(net.IPv4Address),),
    "ipv6": (_reads(net.IPv6Address),),
    "ipvanyaddress": (_reads(net.IPvAnyAddress),),
    "ipv4network": (_reads(net.IPv4Network),),
    "ipv6network": (_reads(net.IPv6Network),),
    "ipvanynetwork": (_reads(net.IPvAnyNetwork),),
    "ipv4interface": (_reads(net.IPv4Interface),),
    "ipv6interface": (_reads(net.IPv6Interface),),
    "ipvanyinterface": (_reads(net.IPvAnyInterface),),
    "uri": (_reads(AnyUrl), _reads(HttpUrl)),
    "iri": (_reads(HttpUrl),),
    "regex": (re.compile,),
    "base64": (_reads(Base64Str),),
}
KNOWN = {
    "date": ("2024-02-29", "0001-01-01", "9999-12-31"),
    "date-time": ("2024-02-29T23:59:59Z", "2024-01-01T00:00:00.5+05:30"),
    "time": ("23:59:59Z",),
    "duration": ("P1D", "PT1H30M", "P1Y2M3DT4H5M6S", "P2W"),
    "email": ("ada.lovelace@example.com", "x+y@mail.example.info"),
    "hostname": ("localhost", "a-b.example.org"),
    "ipv4": ("127.0.0.1", "255.255.255.255"),
    "ipv6": ("::", "::1", "2001:db8::8:800:200c:417a", "1:2:3:4:5:6:7:8"),
    "uri": ("https://example.org", "http://localhost:8080/a/b?c=d&e#f", "https://1.2.3.4/"),
    "uri-reference": ("", "/a/b", "a?b#c", "https://example.org/x"),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000",),
    "json-pointer": ("", "/a/0", "/~0~1"),
    "relative-json-pointer": ("0#", "1/a"),
    "regex": (r"^[a-z]+\d{3}$",),
}
FORBIDDEN = {
    "date": ("2023-02-29", "1900-02-29", "0000-01-01", "2024-13-01", "2024-04-31"),
    "date-time": ("2023-02-29T00:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01T00:00:00"),
    "time": ("23:59:60Z", "24:00:00Z", "23:59:59"),
    "duration": ("P", "PT", "P1H", f"P{'9' * 9}D"),
    "email": ("a@b", "a b@c.org", "a@c.test", "a@xn--c.org", ".a@c.org"),
    "ipv4": ("01.1.1.1", "256.1.1.1"),
    "ipv6": (":", "1::2::3", "1:2:3:4:5:6:7:8:9"),
    "uri": ("a:", "example.org", "https://", "https://a b.org"),
    "uuid": ("123e4567e89b12d3a456426614174000",),
    "uuid4": ("123e4567-e89b-12d3-a456-426614174000",),
    "regex": ("(", "a**", "["),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_narrower_than_its_readers(name: str) -> None:
    matcher = start({"type": "string", "format": name})
    for text in KNOWN.get(name, ()):
        assert is_taken(matcher, json.dumps(text)), text
    for text in FORBIDDEN.get(name, ()):
        assert not is_taken(matcher, json.dumps(text)), text
    for text in texts({"type": "string", "format": name}, 8):
        for read in READERS.get(name, ()):
            read(json.loads(text))


NUMBERS = st.one_of(
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-9, 9),
)


@given(NUMBERS, st.booleans(), st.booleans())
def test_a_bound_is_moved_inwards_and_only_just(value: float, exclusive: bool, whole: bool) -> None:
    low = lower_bound(value, exclusive=exclusive, whole=whole)
    high = upper_bound(value, exclusive=exclusive, whole=whole)
    assert high == -lower_bound(-value, exclusive=exclusive, whole=whole)
    if abs(value) > EXACT:
        assert (low > EXACT) == (value > 0)
        return
    assert float(low) > value if exclusive else float(low) >= value
    assert (
        float(low) - value <= (1 if whole else max(abs(value) * 1e-13, 1e-15) + 1e-15) + exclusive
    )
    assert low == low.to_integral_value() or not whole


@given(st.integers(-(10**14), 10**14), st.integers(0, 12))
def test_numbers_of_15_digits_are_exact(digits: int, places: int) -> None:
    assert is_exact(float(Decimal(digits).scaleb(-places)))


def test_numbers_that_readers_round_are_not_exact() -> None:
    assert not any(map(is_exact, (0.1234567890123456, 2**53 + 2, 1e300, 5e-324, -(2**63))))
    assert all(map(is_exact, (0, -0.0, 0.1, 2**53, -7.25, 1e-15, 123456789.012345)))


def test_steps_of_three_digits_are_readable() -> None:
    assert is_readable(Fraction(1, 100))
    assert not is_readable(Fraction(7, 100))  # 0.07 * 100 has digits behind the point
    assert not is_readable(Fraction(10**400))


@settings(max_examples=25)
@given(
    st.sampled_from(("minimum", "exclusiveMinimum")),
    st.sampled_from(("maximum", "exclusiveMaximum")),
    st.decimals(-20, 20, places=3).map(float),
    st.decimals(0, 3, places=2).map(float),
    st.integers(0, 2**32),
)
def test_numbers_within_bounds_are_so_for_floats(
    low: str, high: str, value: float, width: float, seed: int
) -> None:
    schema = {"type": "number", low: value, high: value + width + 0.01}
    for text in texts(schema, 6, seed):
        number = json.loads(text)
        assert number > value if low.startswith("ex") else number >= value
        most = schema[high]
        assert number < most if high.startswith("ex") else number <= most
