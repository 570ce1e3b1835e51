"""Tokenize and Detokenize over gRPC, and the tokenizer below them, held against transformers."""

import pickle
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from transformers import AutoTokenizer

from lepton.v1 import text_pb2
from lepton_testing.heads import FAMILIES, LONGEST
from lepton_testing.hosted import Served
from lepton_worker.backends.transformers.tokenizer import FastTokenizer, load_tokenizer
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

TEXTS = [*SENTENCES, "Zoe\u0308 🎉 👩‍👩‍👧", "ﬁsh\tİstanbul\n\nnaïve  ", "한국어 עברית", ""]
SECOND = "Who left? 🎉"
Serving = Callable[..., Served]


def both(heads: Any, family: str) -> tuple[FastTokenizer, Any]:
    folder = heads(family, "SequenceClassification")
    return load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)


def kinds(sheet: Any) -> tuple[list[int], list[int] | None]:
    return sheet["input_ids"], sheet.get("token_type_ids")


def same(tokens: Any, sheet: Any) -> bool:
    ids, types = kinds(sheet)
    return list(tokens.ids) == ids and (types is None or list(tokens.types) == types)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_and_pairs_become_the_tokens_of_transformers(heads: Any, family: str) -> None:
    ours, theirs = both(heads, family)
    copy = pickle.loads(pickle.dumps(ours))
    for text in TEXTS:
        assert same(ours.encode([text])[0].tokens, theirs(text))
        assert copy.encode([text]) == ours.encode([text])
        if text:
            # transformers takes an empty second text for none.
            assert same(ours.encode_pairs([(SECOND, text)])[0].tokens, theirs(SECOND, text))
        plain = ours.pieces(text, special=False).ids
        assert ours.frame().around(plain) == ours.encode([text])[0].tokens
        second = ours.pieces(SECOND, special=False).ids
        joined = ours.frame(pair=True).around(plain, second)
        assert joined == ours.encode_pairs([(text, SECOND)])[0].tokens


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_cuts_are_those_of_transformers(heads: Any, family: str, length: int) -> None:
    ours, theirs = both(heads, family)
    for text in TEXTS[:6]:
        whole = theirs(text).input_ids
        kept = min(length + 2, len(whole))
        (cut,) = ours.encode([text], kept)
        assert cut.truncated == (kept < len(whole))
        assert same(cut.tokens, theirs(text, truncation=True, max_length=kept))
        kept = len(theirs(SECOND, text).input_ids) - length
        (pair,) = ours.encode_pairs([(SECOND, text)], kept)
        expected = theirs(SECOND, text, truncation="only_second", max_length=kept)
        assert same(pair.tokens, expected)
    short = ours.encode([SECOND], LONGEST)[0]
    assert not short.truncated
    assert short == ours.encode([SECOND])[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_places_are_those_of_transformers(heads: Any, family: str) -> None:
    ours, theirs = both(heads, family)
    for text in TEXTS:
        sheet = theirs(text, return_offsets_mapping=True)
        pieces = ours.pieces(text)
        assert list(pieces.spans) == [tuple(span) for span in sheet.offset_mapping]
        assert list(pieces.tokens) == theirs.convert_ids_to_tokens(sheet.input_ids)
        front, back = pieces.added
        assert [word is None for word in pieces.words] == [
            place < front or place >= len(pieces.ids) - back for place in range(len(pieces.ids))
        ]


def test_places_are_in_the_text_as_it_was_given(heads: Any) -> None:
    folder = heads("roberta", "SequenceClassification")
    lower = load_tokenizer(folder, lower=True)
    text = "İİ Water İ BOATS"
    assert len(text.lower()) != len(text)
    pieces = lower.pieces(text, special=False)
    assert list(pieces.ids) == list(lower.pieces(text.lower(), special=False).ids)
    words: dict[Any, list[tuple[int, int]]] = {}
    for word, span in zip(pieces.words, pieces.spans, strict=True):
        words.setdefault(word, []).append(span)
    found = [text[spans[0][0] : spans[-1][1]].strip() for spans in words.values()]
    assert "Water" in found
    assert "BOATS" in found


@pytest.mark.parametrize("special", [False, True])
def test_over_the_wire(heads: Any, serving: Serving, special: bool) -> None:
    folder = heads("bert", "TokenClassification")
    served, theirs = serving(folder), AutoTokenizer.from_pretrained(folder)
    answer = served.text.Tokenize(text_pb2.TokenizeRequest(inputs=TEXTS, plain=not special))
    for text, result in zip(TEXTS, answer.results, strict=True):
        sheet = theirs(text, add_special_tokens=special, return_offsets_mapping=True)
        assert list(result.token_ids) == sheet.input_ids
        places = list(zip(result.starts, result.ends, strict=True))
        assert places == [tuple(span) for span in sheet.offset_mapping]
        assert list(result.tokens) == theirs.convert_ids_to_tokens(sheet.input_ids)
    lists = [text_pb2.TokenList(ids=item.token_ids) for item in answer.results]
    texts = served.text.Detokenize(text_pb2.DetokenizeRequest(inputs=lists, special=special)).texts
    assert list(texts) == [
        theirs.decode(
            list(item.ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        for item in lists
    ]


def test_what_is_no_token_is_told(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", "TokenClassification"))
    lists = [text_pb2.TokenList(ids=[1]), text_pb2.TokenList(ids=[1, 100_000, -1])]
    for call, request, named in (
        (served.text.Detokenize, text_pb2.DetokenizeRequest(inputs=lists), "inputs[1].ids: has"),
        (served.text.Detokenize, text_pb2.DetokenizeRequest(), "inputs: must have"),
        (served.text.Tokenize, text_pb2.TokenizeRequest(), "inputs: must have"),
        (
            served.text.Tokenize,
            text_pb2.TokenizeRequest(inputs=["a", "b" * 4_000_001]),
            "inputs[1]: must have at most",
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(caught.value.details()).startswith(named)
