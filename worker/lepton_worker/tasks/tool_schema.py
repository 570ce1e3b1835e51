"""Whether a JSON value fits a JSON schema, for arguments that a model wrote unconstrained.

The assertions of draft 2020-12 that describe functions (Wright, Andrews, Hutton, Dennis: "JSON
Schema"), local references included. Regular expressions (`pattern`, `patternProperties`,
`propertyNames`) and `format` are not looked at: what they cost, a caller could choose.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Any
"""A JSON object, true or false."""

MOST_SCHEMAS = 10_000
"""Held against one value; a schema that refers to itself may ask for any number."""

KINDS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_integer(value),
}

LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda value, limit: value >= limit, "must be at least {}"),
    "maximum": ("number", lambda value, limit: value <= limit, "must be at most {}"),
    "exclusiveMinimum": ("number", lambda value, limit: value > limit, "must be more than {}"),
    "exclusiveMaximum": ("number", lambda value, limit: value < limit, "must be less than {}"),
    "multipleOf": (
        "number",
        lambda value, unit: _is_multiple(value, unit),
        "must be a multiple of {}",
    ),
    "minLength": (
        "string",
        lambda value, limit: len(value) >= limit,
        "must have at least {} characters",
    ),
    "maxLength": (
        "string",
        lambda value, limit: len(value) <= limit,
        "must have at most {} characters",
    ),
    "minItems": ("array", lambda value, limit: len(value) >= limit, "must have at least {} items"),
    "maxItems": ("array", lambda value, limit: len(value) <= limit, "must have at most {} items"),
    "minProperties": (
        "object",
        lambda value, limit: len(value) >= limit,
        "must have at least {} members",
    ),
    "maxProperties": (
        "object",
        lambda value, limit: len(value) <= limit,
        "must have at most {} members",
    ),
}
"""Keywords with a number: of which kind of value, what holds, and how its contrary is told."""


class _Enough(Exception):
    """So many schemas were held against the value that the rest is let be."""


def mismatch(value: Any, schema: Schema, name: str = "arguments") -> str:
    """The first place where a value does not fit, and why; empty when it fits.

    `name` is how the value itself is called.
    """
    try:
        return next(_Check(schema).wrong(value, schema, name), "")
    except (_Enough, RecursionError):
        return ""
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        # Nobody has looked whether the schema is one: what is none says nothing.
        return ""


class _Check:
    """One value against one schema and those that it refers to."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MOST_SCHEMAS

    def wrong(self, value: Any, schema: Schema, path: str) -> Iterator[str]:
        """All that is wrong, each with its place."""
        self._left -= 1
        if self._left < 0:
            raise _Enough
        if schema is False:
            yield f"{path}: must not be there"
        if not isinstance(schema, dict):
            return
        yield from (f"{path}: {text}" for text in _own(value, schema))
        yield from self._joined(value, schema, path)
        if isinstance(value, dict):
            yield from self._members(value, schema, path)
        if isinstance(value, list):
            yield from self._items(value, schema, path)

    def _fits(self, value: Any, schema: Schema) -> bool:
        return next(self.wrong(value, schema, ""), None) is None

    def _joined(self, value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
        """Keywords that hold other schemas against the same value."""
        if "$ref" in schema:
            yield from self.wrong(value, referred(self._root, schema["$ref"]), path)
        for part in schema.get("allOf", ()):
            yield from self.wrong(value, part, path)
        some = schema.get("anyOf")
        if some and not any(self._fits(value, part) for part in some):
            yield f"{path}: fits none of the {len(some)} schemas of anyOf"
        one = schema.get("oneOf")
        if one:
            count = sum(self._fits(value, part) for part in one)
            if count != 1:
                yield f"{path}: fits {count} of the {len(one)} schemas of oneOf, and must fit one"
        if "not" in schema and self._fits(value, schema["not"]):
            yield f"{path}: fits the schema that it must not fit"
        if "if" in schema:
            way = "then" if self._fits(value, schema["if"]) else "else"
            yield from self.wrong(value, schema.get(way, True), path)

    def _members(
        self, value: dict[str, Any], schema: Mapping[str, Any], path: str
    ) -> Iterator[str]:
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path}: must have {name!r}"
        for name, needed in schema.get("dependentRequired", {}).items():
            yield from (
                f"{path}: must have {other!r} beside {name!r}"
                for other in needed
                if name in value and other not in value
            )
        known = schema.get("properties", {})
        rest = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        for name, member in value.items():
            if name in known:
                yield from self.wrong(member, known[name], f"{path}.{name}")
            elif rest is False:
                yield f"{path}: must not have {name!r}"
            else:
                yield from self.wrong(member, rest, f"{path}.{name}")

    def _items(self, value: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        for index, item in enumerate(value):
            wanted = first[index] if index < len(first) else rest
            yield from self.wrong(item, wanted, f"{path}[{index}]")


def referred(root: Schema, reference: Any) -> Schema:
    """What a reference within a schema points to; true for any other reference."""
    found: Any = root
    head, *names = str(reference).split("/")
    if head != "#":
        return True
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            return True
        found = found[key]
    return found


def _own(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the value itself, whatever is in it."""
    kinds = schema.get("type", [])
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind in KINDS]
    if kinds and not any(KINDS[kind](value) for kind in kinds):
        yield f"must be {' or '.join(kinds)}, not {_kind(value)}"
        return
    if "enum" in schema and not any(_same(value, item) for item in schema["enum"]):
        yield f"must be one of {len(schema['enum'])} values of enum"
    if "const" in schema and not _same(value, schema["const"]):
        yield "must be the value of const"
    for keyword, (kind, holds, text) in LIMITS.items():
        if keyword in schema and KINDS[kind](value) and not holds(value, schema[keyword]):
            yield text.format(schema[keyword])
    if schema.get("uniqueItems") is True and isinstance(value, list) and not _unique(value):
        yield "must not have an item twice"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _is_multiple(value: float, unit: float) -> bool:
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    share = value / unit
    return math.isfinite(share) and math.isclose(share, round(share), rel_tol=1e-12)


def _kind(value: Any) -> str:
    return next(kind for kind, fits in KINDS.items() if fits(value))


def _same(one: Any, other: Any) -> bool:
    """As JSON knows it: 1 is 1.0, and not true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _unique(items: list[Any]) -> bool:
    return len({json.dumps(item, sort_keys=True) for item in items}) == len(items)
