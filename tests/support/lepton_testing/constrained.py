"""Texts under constraints, made from random logits, and schemas at random to constrain them."""

import json
import random
import re
from typing import Any

import tokenizers
import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.request import Constraint, Sampling, Tokens

WIDTH = 610
"""A little more than the tokenizer has, as with models whose embeddings are padded."""


def number_of(tokenizer: tokenizers.Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    assert number is not None
    return number


def asked(constraint: Constraint, end: int | None, **options: Any) -> DecoderSequence:
    ends = frozenset() if end is None else frozenset({end})
    options = {"temperature": 1.0, "seed": 7, "ends": ends, **options}
    return DecoderSequence(Tokens((5, 6)), Sampling(900, constraint=constraint, **options))


def random_rows(rows: int, numbers: torch.Generator) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=numbers) * 2


def finish(
    sampler: Sampler, batch: list[DecoderSequence], seed: int = 0, steps: int = 900
) -> list[list[int]]:
    """The answers without the token that ends a text; each one must come to its end."""
    numbers, open_ = torch.Generator().manual_seed(seed), list(batch)
    for _ in range(steps):
        if not open_:
            break
        for sequence, choice in zip(
            list(open_), sampler.choose(open_, random_rows(len(open_), numbers)), strict=True
        ):
            assert isinstance(choice, Choice), choice
            sequence.ids.append(choice.token)
            if choice.ended or choice.token in sequence.sampling.ends:
                open_.remove(sequence)
    assert not open_
    return [[token for token in item.ids[2:] if token not in item.sampling.ends] for item in batch]


def a_schema(numbers: random.Random, depth: int = 0) -> dict[str, Any]:
    """A schema at random, of which every text has an end."""
    kinds = ["integer", "string", "boolean", "null", "enum", "const", "pattern", "number"]
    kinds += [] if depth > 2 else ["object", "array", "anyOf"] * 2
    kind = numbers.choice(kinds)
    if kind == "integer":
        low = numbers.randint(-500, 500)
        return {"type": "integer", "minimum": low, "maximum": low + numbers.randint(0, 900)}
    if kind == "number":
        return {"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 40}
    if kind == "string":
        return {"type": "string", "minLength": numbers.randint(0, 3), "maxLength": 8}
    if kind == "enum":
        return {"enum": numbers.sample(["a", "b c", 'q"u', "é😀", 1, 2.5, None, True, []], 4)}
    if kind == "const":
        return {"const": numbers.choice(["x", {"a": [1]}, 3, ""])}
    if kind == "pattern":
        return {"type": "string", "pattern": numbers.choice(["^[a-c]{2,5}$", r"^\d{3}-\d{2}$"])}
    if kind == "anyOf":
        return {"anyOf": [a_schema(numbers, depth + 1) for _ in range(2)]}
    if kind == "array":
        items = a_schema(numbers, depth + 1)
        return {"type": "array", "items": items, "minItems": 1, "maxItems": 3}
    if kind == "object":
        names = numbers.sample(["name", "two words", "ü", "a", "b"], 3)
        return {
            "type": "object",
            "properties": {name: a_schema(numbers, depth + 1) for name in names},
            "required": names[:2],
            "additionalProperties": False,
        }
    return {"type": kind}


def valid(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is of a schema that `a_schema` makes."""
    if "enum" in schema or "const" in schema:
        wanted = schema.get("enum", [schema.get("const")])
        return json.dumps(value) in map(json.dumps, wanted)
    if "anyOf" in schema:
        return any(valid(value, each) for each in schema["anyOf"])
    if schema["type"] == "array":
        items = isinstance(value, list) and all(valid(each, schema["items"]) for each in value)
        return items and 1 <= len(value) <= 3
    if schema["type"] == "object":
        names = set(value) if isinstance(value, dict) else set()
        return set(schema["required"]) <= names <= set(schema["properties"]) and all(
            valid(each, schema["properties"][name]) for name, each in value.items()
        )
    return _valid_scalar(value, schema)


def _valid_scalar(value: Any, schema: dict[str, Any]) -> bool:
    if schema["type"] == "string":
        return _valid_string(value, schema)
    if schema["type"] == "integer":
        return type(value) is int and bool(schema["minimum"] <= value <= schema["maximum"])
    if schema["type"] == "number":
        return type(value) in (int, float) and 0 <= value <= 40 and value % 0.5 == 0
    return value is None if schema["type"] == "null" else isinstance(value, bool)


def _valid_string(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, str):
        return False
    if "pattern" in schema:
        return re.search(schema["pattern"], value, re.ASCII) is not None
    return bool(schema["minLength"] <= len(value) <= schema["maxLength"])
