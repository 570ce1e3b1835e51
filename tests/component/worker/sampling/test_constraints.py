"""Texts that have to be something, made from random logits with a real tokenizer."""

import json
import random
import re

import llguidance
import pytest
import tokenizers
import torch

from lepton_testing.constrained import WIDTH, a_schema, asked, finish, number_of, random_rows, valid
from lepton_worker.backends.sampling.constraints import Constraints
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.errors import InvalidRequest, TaskNotSupported
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Constraint
from lepton_worker.samples import vocabularies

pytestmark = pytest.mark.component


def test_fifty_random_schemas(sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int) -> None:
    numbers = random.Random(11)
    schemas = [a_schema(numbers) for _ in range(50)]
    assert len({json.dumps(schema) for schema in schemas}) > 30
    batch = [
        asked(Constraint("json_schema", (json.dumps(schema),)), end, seed=seed)
        for seed, schema in enumerate(schemas)
    ]
    for schema, answer in zip(schemas, finish(sampler, batch), strict=True):
        written = tokenizer.decode(answer, skip_special_tokens=False)
        value = json.loads(written)
        assert valid(value, schema), (schema, written)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "regex",
    [
        r"[A-Z]{3}-\d{1,4}",
        r"(ab|c){1,6}",
        r"\d{4}-(0[1-9]|1[0-2])-([0-2]\d|3[01])",
        r"(é|😀|ß){2,4}",
        r"[^x]{3,9}",
        r"\{\"k\": (true|false)\}",
    ],
)
def test_regexes(
    regex: str, temperature: float, sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int
) -> None:
    batch = [
        asked(Constraint("regex", (regex,)), end, seed=seed, temperature=temperature)
        for seed in range(8)
    ]
    for answer in finish(sampler, batch):
        written = tokenizer.decode(answer, skip_special_tokens=False)
        assert re.fullmatch(regex, written, re.ASCII), written


CHOICES = (
    'a"b',
    "new\nline",
    "é😀",
    "back\\slash",
    "100 %",
    "# no",
    "// x",
    "\x01",
    "yes",
    "yesno",
)


def test_choices(sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int) -> None:
    batch = [asked(Constraint("choices", CHOICES), end, seed=seed) for seed in range(60)]
    written = {
        tokenizer.decode(answer, skip_special_tokens=False) for answer in finish(sampler, batch)
    }
    assert written <= set(CHOICES)
    assert len(written) > 5


def test_each_choice_can_be_had(
    sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int
) -> None:
    """Led by a bias towards its own tokens."""
    for choice in CHOICES:
        ids = tokenizer.encode(choice, add_special_tokens=False).ids
        sequence = asked(Constraint("choices", CHOICES), end, temperature=0.0)
        for place, wanted in enumerate([*ids, end]):
            logits = torch.zeros(1, WIDTH)
            logits[0, wanted] = 5
            (found,) = sampler.choose([sequence], logits)
            assert isinstance(found, Choice)
            assert found.token == wanted
            sequence.ids.append(found.token)
            if found.ended:
                assert place >= len(ids) - 1
                break


def test_a_grammar(sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int) -> None:
    sums = 'start: number (("+" | "-") number){1,3}\nnumber: /[1-9][0-9]{0,2}/'
    batch = [asked(Constraint("grammar", (sums,)), end, seed=seed) for seed in range(10)]
    for answer in finish(sampler, batch):
        written = tokenizer.decode(answer, skip_special_tokens=False)
        assert re.fullmatch(r"[1-9]\d{0,2}([+-][1-9]\d{0,2}){1,3}", written), written


def test_json_cannot_be_put_off_by_white_space(sampler: Sampler, end: int) -> None:
    """A model that loves white space above all gets no further than one break and one indent."""
    schema = '{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}'
    byte_level = vocabularies.byte_level().backend_tokenizer
    blanks = [number for token, number in byte_level.get_vocab().items() if not token.strip("ĠĊĉč")]
    assert blanks
    sequence = asked(Constraint("json_schema", (schema,)), end, temperature=0.0)
    for _ in range(400):
        logits = torch.zeros(1, WIDTH)
        logits[0, blanks] = 5
        logits[0, byte_level.token_to_id('"')] = 1
        logits[0, byte_level.token_to_id("}")] = 2
        (choice,) = sampler.choose([sequence], logits)
        assert isinstance(choice, Choice)
        sequence.ids.append(choice.token)
        if choice.ended:
            break
    written = byte_level.decode(sequence.ids[2:])
    assert json.loads(written).keys() == {"a"}
    assert max(map(len, re.findall(r"\s+", written))) == 21


def test_a_json_object_is_one(sampler: Sampler, tokenizer: tokenizers.Tokenizer, end: int) -> None:
    """Random logits in strings without bound end when a quotation mark and a brace are likely."""
    sequence, numbers = asked(Constraint("json_object"), end), torch.Generator().manual_seed(2)
    for _ in range(900):
        logits = random_rows(1, numbers)
        for piece in '"}':
            logits[0, tokenizer.token_to_id(piece)] += 4
        (choice,) = sampler.choose([sequence], logits)
        assert isinstance(choice, Choice)
        sequence.ids.append(choice.token)
        if choice.ended:
            break
    assert isinstance(json.loads(tokenizer.decode(sequence.ids[2:])), dict)


def test_bytes_that_fall_back(end: int) -> None:
    """A vocabulary with single bytes in place of unknown characters, and a mark for spaces."""
    rust = vocabularies.byte_fallback().backend_tokenizer
    last = number_of(rust, "</s>")
    sampler = Sampler(GenerationDefaults(), WIDTH, Constraints(rust.to_str(), WIDTH, [last]))
    batch = [
        asked(Constraint("regex", ("(é😀|the )[a-c]{2}( on|x)",)), last, seed=seed)
        for seed in range(6)
    ]
    for answer in finish(sampler, batch):
        assert re.fullmatch("(é😀|the )[a-c]{2}( on|x)", rust.decode(answer))


def test_word_pieces_are_not_offered() -> None:
    with pytest.raises(TaskNotSupported, match="tokenizer"):
        Constraints(vocabularies.word_pieces().backend_tokenizer, WIDTH, [0])


def test_a_vocabulary_of_bytes_is_read_when_it_is_needed(
    tokenizer: tokenizers.Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraint = Constraint("regex", ("a+",))
    read: list[object] = []
    made = llguidance.LLTokenizer

    def counted(*arguments: object, **named: object) -> object:
        read.append(arguments)
        return made(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(llguidance, "LLTokenizer", counted)
    constraints = Constraints(tokenizer, WIDTH, [])
    assert read == []
    constraints.prepare()
    constraints.matcher(constraint)
    constraints.matcher(constraint)
    assert len(read) == 1


def test_a_vocabulary_that_cannot_be_read_later_is_told_to_who_asks(
    tokenizer: tokenizers.Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("no bytes")

    monkeypatch.setattr(llguidance, "LLTokenizer", fails)
    constraints = Constraints(tokenizer, WIDTH, [])
    with pytest.raises(InvalidRequest, match="no bytes"):
        constraints.matcher(Constraint("regex", ("a+",)))
