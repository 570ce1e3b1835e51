"""What of constraints is refused before a request is let in; no model and no tokenizer needed."""

import json

import pytest

from lepton_worker.backends.sampling.constraints import (
    MAX_CHARACTERS,
    MAX_CHOICES,
    check,
    grammar,
)
from lepton_worker.errors import InvalidRequest
from lepton_worker.request import Constraint, ConstraintKind

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Order",
    "type": "object",
    "properties": {"size": {"$ref": "#/$defs/Size"}, "tags": {"type": "array"}},
    "required": ["size"],
    "additionalProperties": False,
    "$defs": {"Size": {"type": "integer", "minimum": 1, "description": "in pieces"}},
}
ODD = ('a"b', "new\nline", "é😀", "back\\slash", "a/b", "%", "#", "// x", "tab\t", "\x01", "\u2028")


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("json_object", ()),
        ("json_schema", (json.dumps(SCHEMA),)),
        ("json_schema", ("{}",)),
        ("regex", (r"\d{4}-\d{2}",)),
        ("regex", ("^a+b$",)),
        ("choices", ("yes",)),
        ("choices", ODD),
        ("choices", tuple(f"choice {number}" for number in range(1000))),
        ("grammar", ('start: "a" start | "b"',)),
        ("grammar", ('start: "x" %json {"type": "integer"}',)),
    ],
)
def test_taken(kind: ConstraintKind, texts: tuple[str, ...]) -> None:
    check(Constraint(kind, texts))


@pytest.mark.parametrize(
    ("kind", "texts", "said"),
    [
        ("json_schema", (), "must not be empty"),
        ("json_schema", ("",), "must not be empty"),
        ("json_schema", ("{",), "EOF while parsing"),
        ("json_schema", ("[1]",), "Expecting object"),
        ("json_schema", ('{"type": "objct"}',), "Invalid type: objct"),
        ("json_schema", ('{"if": {}}',), "Unimplemented keys"),
        ("json_schema", ('{"if": {}, "x-guidance": {"lenient": true}}',), "Unimplemented keys"),
        ("json_schema", ('{"$ref": "http://example.com/s.json"}',), "does not fetch"),
        ("json_schema", ('{"type": "integer", "minimum": 5, "maximum": 3}',), "Unsatisfiable"),
        ("json_schema", ('{"items":' * 5000 + "{}" + "}" * 5000,), "recursion limit"),
        ("json_schema", ("{}", "{}"), "takes one text, not 2"),
        ("regex", ("a(",), "unclosed group"),
        ("regex", ("(?=a)b",), "look-around, including look-ahead and look-behind, is not"),
        ("regex", ("(" * 20000 + ")" * 20000,), "nested parentheses"),
        ("choices", (), "must not be empty"),
        ("choices", ("a", ""), "must not be empty"),
        ("choices", ("a",) * (MAX_CHOICES + 1), f"at most {MAX_CHOICES}"),
        ("choices", ("a" * 60_000, "b" * 60_000), "120000 characters"),
        ("grammar", ("start: missing",), 'unknown name: "missing"'),
        ("grammar", ("start: " + "(" * 20000 + '"a"' + ")" * 20000,), "too deeply nested"),
        ("grammar", ("x" * (MAX_CHARACTERS + 1),), f"at most {MAX_CHARACTERS}"),
    ],
)
def test_refused(kind: ConstraintKind, texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(Constraint(kind, texts))
    (violation,) = caught.value.violations
    assert violation.field == f"sampling.{kind}"
    assert said in violation.description
    assert len(violation.description) <= 300


def test_a_schema_cannot_change_how_json_is_written() -> None:
    schema = '{"x-guidance": {"whitespace_pattern": " *", "whitespace_flexible": true}}'
    assert '" *"' not in grammar(Constraint("json_schema", (schema,)))
