"""Arguments against schemas: what fits, held against jsonschema, and where it does not."""

import importlib
from typing import Any

import pytest

from lepton_worker.tasks.tool_schema import mismatch

jsonschema: Any = importlib.import_module("jsonschema")

SIZE: dict[str, Any] = {
    "type": "object",
    "properties": {"size": {"$ref": "#/$defs/Size"}},
    "required": ["size"],
}
SIZE["$defs"] = {"Size": {"type": "integer", "minimum": 1}}
TREE = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
CHOICE = {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}

SCHEMAS: list[Any] = [
    True,
    False,
    {},
    {"type": "object"},
    {"type": ["string", "null"]},
    {"type": "integer"},
    {"type": "number", "minimum": 2, "exclusiveMaximum": 8},
    {"exclusiveMinimum": 3, "maximum": 7.5},
    {"multipleOf": 0.25},
    {"multipleOf": 3},
    {"enum": ["a", 1, None, [True]]},
    {"const": {"a": 1}},
    {"minLength": 2, "maxLength": 3},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
    {"prefixItems": [{"type": "string"}], "items": False},
    {"uniqueItems": True},
    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
    {"properties": {"a": True}, "additionalProperties": False},
    {"additionalProperties": {"type": "integer"}},
    {"minProperties": 1, "maxProperties": 1},
    {"dependentRequired": {"a": ["b"]}},
    {"allOf": [{"type": "integer"}, {"minimum": 3}]},
    {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 2}]},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"not": {"type": "string"}},
    CHOICE,
    SIZE,
    TREE,
]
VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    1.0,
    3,
    7.5,
    -0.3,
    10**30,
    "",
    "a",
    "ab",
    "abcd",
    [],
    [1],
    [True],
    [1, 2],
    [1, 1],
    ["x", 2, 3],
    {},
    {"a": 1},
    {"a": "x"},
    {"a": "x", "b": 2},
    {"c": 3},
    {"size": 2},
    {"size": 0},
    {"next": {"next": {}}},
    {"next": {"other": 1}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_what_fits_is_what_jsonschema_says(schema: Any) -> None:
    oracle = jsonschema.Draft202012Validator(schema)
    for value in VALUES:
        assert (mismatch(value, schema) == "") is oracle.is_valid(value), value


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        ("x", {"type": "integer"}, "arguments: must be integer, not string"),
        ({"size": 0}, SIZE, "arguments.size: must be at least 1"),
        ({}, SIZE, "arguments: must have 'size'"),
        ({"next": {"x": 1}}, TREE, "arguments.next: must not have 'x'"),
        ([1, "x"], {"items": {"type": "integer"}}, "arguments[1]: must be integer, not string"),
        (5, {"enum": [1, 2]}, "arguments: must be one of 2 values of enum"),
    ],
)
def test_the_place_is_told(value: Any, schema: Any, said: str) -> None:
    assert mismatch(value, schema) == said


def test_multiples_are_those_of_the_decimal_numbers() -> None:
    assert mismatch(-0.3, {"multipleOf": 0.1}) == ""
    assert mismatch(0.35, {"multipleOf": 0.1}) == "arguments: must be a multiple of 0.1"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "http://example.com/s.json"},
        {"$ref": "#/$defs/none"},
        {"required": 3},
        {"properties": [1]},
        {"type": {"a": 1}},
        {"minLength": "2"},
        {"multipleOf": 0},
        {"pattern": "(a+)+$"},
    ],
    ids=str,
)
def test_what_is_no_schema_or_has_no_end_refuses_nothing(schema: Any) -> None:
    for value in ("a" * 50, 5, {"a": 1}):
        assert mismatch(value, schema) == ""
