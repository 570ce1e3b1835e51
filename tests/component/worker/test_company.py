"""Sampled and constrained texts over gRPC: what they are does not depend on their company, and what
is asked for is what comes."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lepton.v1 import generation_pb2
from lepton_testing.constrained import a_schema, valid
from lepton_testing.ground import Ground, ground
from lepton_testing.hosted import Host, Served
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

Sampling = generation_pb2.Sampling
NEW = 60
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
HOT: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": NEW}
KINDS: dict[str, dict[str, Any]] = {
    "temperature": {**HOT, "temperature": 1.7},
    "truncated": {**HOT, "top_p": 0.8, "top_k": 50, "min_p": 0.01},
    "penalties": {
        **HOT,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.7,
        "frequency_penalty": 0.4,
    },
    "schema": {**HOT, "json_schema": SCHEMA},
    "regex": {**HOT, "regex": "[a-z]{3,9}( [a-z]{2,4}){1,3}"},
    "choices": {**HOT, "choices": generation_pb2.Choices(texts=["yes", "no", "perhaps", "nein"])},
}
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=["llama", "llama-bytes"])
def decoder(request: pytest.FixtureRequest, host: Host, samples: Path) -> Iterator[Ground]:
    with ground(host, samples / request.param) as found:
        yield found


def begin(served: Served, text: str, **options: Any) -> Any:
    request = generation_pb2.GenerateRequest(text=text, sampling=Sampling(**options))
    return served.generation.Generate(request, timeout=60)


def whole(stream: Any) -> tuple[str, list[int], int]:
    """Text, tokens and how it ended."""
    events = list(stream)
    text = "".join(event.delta.text for event in events)
    tokens = [token for event in events for token in event.delta.token_ids]
    return text, tokens, events[-1].finish.reason


def test_a_seed_gives_the_same_text_alone_and_in_any_company(decoder: Ground) -> None:
    asked = [(kind, seed) for kind in KINDS for seed in SEEDS]
    text = SENTENCES[0]
    alone = {
        (kind, seed): whole(begin(decoder.served, text, **KINDS[kind], seed=seed))
        for kind, seed in asked
    }
    for order in range(2):
        random.Random(order).shuffle(asked)
        noise = [begin(decoder.served, SENTENCES[9], **HOT) for _ in range(3)]
        streams = {key: begin(decoder.served, text, **KINDS[key[0]], seed=key[1]) for key in asked}
        noise += [begin(decoder.served, SENTENCES[order], **KINDS[kind]) for kind in KINDS]
        for key, stream in streams.items():
            assert whole(stream) == alone[key], key
        for stream in noise:
            whole(stream)
    for kind in ("temperature", "truncated", "penalties", "regex"):
        assert len({alone[kind, seed][0] for seed in SEEDS}) == 3, "every seed gives the same"
    decoder.check_empty()


def test_what_is_asked_for_is_what_comes(decoder: Ground) -> None:
    streams = {
        kind: [
            begin(decoder.served, SENTENCES[4], **{**KINDS[kind], "max_new_tokens": 400}, seed=seed)
            for seed in SEEDS
        ]
        for kind in ("schema", "regex", "choices")
    }
    found = {kind: [whole(stream) for stream in streams[kind]] for kind in streams}
    stop = generation_pb2.FINISH_REASON_STOP
    for text, _, reason in found["schema"]:
        assert reason == stop
        value = json.loads(text)
        assert len(value["name"]) <= 8
        assert 0 <= value["age"] <= 150
        assert set(value.get("tags", [])) <= {"a", "b"}
        assert set(value) <= {"name", "age", "tags"}
    for text, _, reason in found["regex"]:
        assert reason == stop
        assert re.fullmatch("[a-z]{3,9}( [a-z]{2,4}){1,3}", text)
    for text, _, reason in found["choices"]:
        assert reason == stop
        assert text in ("yes", "no", "perhaps", "nein")


def test_texts_of_schemas_at_random_are_valid(decoder: Ground) -> None:
    numbers = random.Random(8)
    schemas = [a_schema(numbers) for _ in range(16)]
    options = {"temperature": 1.0, "max_new_tokens": 400}
    streams = [
        begin(decoder.served, SENTENCES[2], **options, seed=5, json_schema=json.dumps(schema))
        for schema in schemas
    ]
    for schema, stream in zip(schemas, streams, strict=True):
        text, _, reason = whole(stream)
        assert reason == generation_pb2.FINISH_REASON_STOP
        assert valid(json.loads(text), schema), (schema, text)
    decoder.check_empty()


MIXED = "naïve 🧑‍🚀 日本語 Ωmega Жизнь العربية ไทย 한국어 🇩🇪 e\u0301"


@pytest.mark.parametrize("seed", SEEDS)
def test_no_piece_of_a_text_ends_within_a_character(decoder: Ground, seed: int) -> None:
    """Random bytes make many broken characters: pieces break none that the whole has not."""
    tokenizer = AutoTokenizer.from_pretrained(decoder.folder)
    options = {"temperature": 2.0, "ignore_eos": True, "max_new_tokens": 150}
    events = list(begin(decoder.served, MIXED, **options, seed=seed))
    pieces = [event.delta.text for event in events if event.HasField("delta")]
    tokens = [token for event in events for token in event.delta.token_ids]
    assert len(tokens) == 150
    expected = tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    assert "".join(pieces) == expected
    broken = "\N{REPLACEMENT CHARACTER}"
    assert sum(piece.count(broken) for piece in pieces) == expected.count(broken)


def test_characters_of_many_bytes_come_whole(decoder: Ground) -> None:
    """A constraint makes it write emoji and letters of four scripts, token by token."""
    wanted = "🦊日本Ж🇩🇪éไ한"
    events = list(
        begin(
            decoder.served,
            "x",
            max_new_tokens=200,
            choices=generation_pb2.Choices(texts=[wanted, wanted + "!"]),
        )
    )
    pieces = [event.delta.text for event in events if event.HasField("delta")]
    assert "".join(pieces) in (wanted, wanted + "!")
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert sum(len(event.delta.token_ids) for event in events) > len(wanted)
