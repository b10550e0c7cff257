"""The forms of lists and objects.

Objects hold the names that are listed, and others only where the schema speaks of them: a free name
may be written twice, and then the last one counts. Knows no grammar.
"""

from __future__ import annotations

from adafuse.json_schema.alternatives import Reader
from adafuse.json_schema.intersection import Meaning, Names
from adafuse.json_schema.nodes import (
    ANYTHING,
    MOST_COUNT,
    MOST_ITEMS,
    EmptyFormError,
    ListForm,
    ObjectForm,
    Spot,
    blamed,
    capped,
)
from adafuse.json_schema.pointers import SchemaError
from adafuse.json_schema.regex_search import found
from adafuse.json_schema.regex_translation import read_pattern
from adafuse.json_schema.scalars import engine_regex, refuse_halves
from adafuse.json_schema.validation import accepts

__all__ = ["FREE_NAME", "list_form", "object_form"]

_LONGEST_NAME = 40
_NAME = r'^[^"\\\x00-\x1f\x7f]{%d,%d}$'  # nothing that needs an escape
FREE_NAME = read_pattern(_NAME % (1, _LONGEST_NAME)).text
"""What the name of a property may be of which nothing is said."""


def list_form(meaning: Meaning) -> ListForm:
    """The form of a list.

    Raises:
        SchemaError: its items must differ from each other.
        EmptyFormError: no list is as long as it should be.
    """
    items = meaning.items()
    most = capped(items.least, items.most, meaning, ("minItems", "maxItems"))
    if most is None:
        most = max(MOST_ITEMS, items.least, len(items.first))
    for pointer, unique in meaning.given("uniqueItems"):
        if unique and most > 1:
            raise SchemaError("uniqueItems", pointer, "cannot be enforced; take a list, not a set")
    rest: Spot | None = ANYTHING - 1 if items.rest is None else items.rest
    return ListForm(
        list(items.first[:most]), rest if most > len(items.first) else None, items.least, most
    )


def object_form(reader: Reader, meaning: Meaning) -> ObjectForm:
    """The form of an object.

    Raises:
        SchemaError: a bound on names or their number that cannot be enforced.
        EmptyFormError: no object has as many properties as it should.
    """
    names = meaning.names()
    for name in names.names:
        refuse_halves(name, blamed(meaning, "properties", "required"))
    form = _with_names(reader, names, meaning)
    count = len(form.required)
    keywords = ("minProperties", "maxProperties")
    most = capped(max(names.least, count), names.most, meaning, keywords)
    least = names.least if names.least > count else 0
    if len(form.names) > count and most is not None:
        form.patterns, form.rest = {}, None  # they could not be counted
    if form.patterns or form.rest is not None:
        _count_free(form, least, most, meaning)
    else:
        _count_listed(form, least, most, meaning)
    form.covered = {
        name
        for pattern, spot in form.patterns.items()
        for name in form.names
        if form.names[name] == spot and found(pattern, name)
    }
    keyword, form.where = blamed(meaning, "patternProperties")
    form.patterns = {
        engine_regex(keyword, pattern, form.where)[0]: spot
        for pattern, spot in form.patterns.items()
    }
    return form


def _count_listed(form: ObjectForm, least: int, most: int | None, meaning: Meaning) -> None:
    """Bound the number of properties of an object without free names."""
    count = len(form.required)
    if least > len(form.names):
        blame = blamed(meaning, "minProperties")
        raise EmptyFormError(blame, "asks for more properties than may be there")
    if least == len(form.names):
        form.required, least = set(form.names), 0
    if most == count:
        form.names = {name: spot for name, spot in form.names.items() if name in form.required}
    form.least = least
    if most is not None and len(form.required) < most < len(form.names):
        form.most = most
    if least > count + 1 or form.most not in (None, count + 1):
        # The grammar counts to one.
        blame = blamed(meaning, "minProperties" if least > count + 1 else "maxProperties")
        raise SchemaError(*blame, "cannot be enforced; list more of the names as 'required'")


def _count_free(form: ObjectForm, least: int, most: int | None, meaning: Meaning) -> None:
    """Bound the number of properties of an object with free names."""
    count = len(form.required)
    optional = len(form.names) - count
    if least and (optional or least > count + 1):
        # A name may come twice, and then counts once.
        blame = blamed(meaning, "minProperties")
        raise SchemaError(*blame, "cannot be enforced for free names; list them as 'required'")
    form.least = least
    if not optional:
        form.most = max(least, min(count + MOST_ITEMS if most is None else most, MOST_COUNT))


def _with_names(reader: Reader, names: Names, meaning: Meaning) -> ObjectForm:
    """The form with its names, closed where nothing is said of others."""
    rest: Spot | None = names.rest
    if names.rest is None and not names.names and not names.patterns:
        # An empty "properties" is meant: there are none.
        rest = None if any(meaning.given("properties")) else ANYTHING - 1
    elif names.rest is not None and not reader.options(names.rest):
        rest = None
    form = ObjectForm(dict(names.names), set(names.required), dict(names.patterns), rest)
    if names.each:
        _bound_names(reader, names, form, meaning)
    if form.rest is not None and not form.names and not form.patterns:
        form.patterns, form.rest = {_NAME % (1, _LONGEST_NAME): form.rest}, None
    return form


def _bound_names(reader: Reader, names: Names, form: ObjectForm, meaning: Meaning) -> None:
    """Leave out what "propertyNames" refuses."""
    blame = blamed(meaning, "propertyNames")
    form.names = {
        name: spot
        for name, spot in names.names.items()
        if accepts(reader, name, names.each, surely=True)
    }
    if not names.required <= form.names.keys():
        raise EmptyFormError(blame, "refuses a required name")
    if form.patterns:
        raise SchemaError(*blame, "cannot be enforced beside 'patternProperties'")
    if form.rest is None:
        return
    options = [Meaning.of(reader, option) for option in reader.options(names.each)]
    if any(option.values is None for option in options):
        form.patterns = {_regex_of_names(form, options, blame): form.rest}
    else:
        for value in (value for option in options for value in option.values or ()):
            if isinstance(value, str) and accepts(reader, value, names.each, surely=True):
                form.names.setdefault(value, form.rest)
    form.rest = None


def _regex_of_names(form: ObjectForm, options: list[Meaning], blame: tuple[str, str]) -> str:
    text = options[0].text()
    regexes = [regex for regex, _ in (*text.patterns, *text.formats)]
    if text.least or text.most is not None or not regexes:
        most = _LONGEST_NAME if text.most is None else min(text.most, MOST_COUNT)
        regexes.append(_NAME % (text.least, max(most, text.least)))
    if form.names or len(options) > 1 or len(regexes) > 1 or options[0].values is not None:
        why = "cannot be enforced; use 'enum', one 'pattern' or lengths, and no 'properties'"
        raise SchemaError(*blame, why)
    return regexes[0]
