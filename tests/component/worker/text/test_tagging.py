"""Tag over gRPC, held against transformers' own pipeline."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from lepton.v1 import text_pb2
from lepton_testing.heads import BIO, BIOES, FAMILIES, LONGEST
from lepton_testing.hosted import Served
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

CLOSE = 1e-5
PLAIN = [*SENTENCES[:4], SENTENCES[27], SENTENCES[33], "Viktor's e-mail: x@y.org, 3.14!"]
ODD = [
    "Zoë and Zoe\u0308 met 🎉 at the harbour 👩‍👩‍👧 today",
    "ﬁsh İstanbul 今天的天气很好 Привет naïve",
    "  spaces in front\tand a tab  ",
]
WORDY = ("bert", "distilbert")
"""Families whose tokenizers mark the pieces of words. For others transformers looks at the spaces,
and parts what two tokens of one character make; here they stay one word."""

STRATEGIES = ("none", "simple", "first", "average", "max")
Serving = Callable[..., Served]


@functools.cache
def oracle(folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    return pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu")


def by_transformers(folder: Path, text: str, strategy: str) -> list[tuple[int, int, str, float]]:
    with warnings.catch_warnings():
        # It says of most tokenizers that they know no words.
        warnings.simplefilter("ignore")
        found = oracle(folder)(text, aggregation_strategy=strategy)
    spans = []
    for item in found:
        part = text[item["start"] : item["end"]]
        start = item["start"] + len(part) - len(part.lstrip())
        end = max(start, item["start"] + len(part.rstrip()))
        label = item.get("entity_group", item.get("entity"))
        if start < end:
            spans.append((start, end, label, float(item["score"])))
    return spans


def tagged(served: Served, texts: list[str], **more: Any) -> list[Any]:
    return list(served.text.Tag(text_pb2.TagRequest(inputs=texts, **more)).results)


def strategy_of(name: str) -> Any:
    return text_pb2.Aggregation.Value(f"AGGREGATION_{name.upper()}")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_spans_equal_the_pipelines(
    heads: Any, serving: Serving, family: str, strategy: str
) -> None:
    folder = heads(family, "TokenClassification", BIO)
    served = serving(folder)
    texts = PLAIN + (ODD if strategy in ("none", "simple") else [])
    if strategy not in ("none", "simple") and family not in WORDY:
        texts = [text for text in PLAIN if text.isascii()]
    count = 0
    for text, result in zip(
        texts, tagged(served, texts, aggregation=strategy_of(strategy)), strict=True
    ):
        expected = by_transformers(folder, text, strategy)
        assert [(span.start, span.end, span.label) for span in result.spans] == [
            item[:3] for item in expected
        ]
        for span, item in zip(result.spans, expected, strict=True):
            assert span.score == pytest.approx(item[3], abs=CLOSE)
            assert span.text == text[span.start : span.end]
        count += len(expected)
    assert count > len(texts)


def test_simple_is_the_usual_way(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", "TokenClassification", BIO))
    assert tagged(served, PLAIN) == tagged(served, PLAIN, aggregation=strategy_of("simple"))
    assert tagged(served, PLAIN) != tagged(served, PLAIN, aggregation=strategy_of("none"))


def test_ends_and_single_things_part_what_they_should(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", "TokenClassification", BIOES))
    singles = tagged(served, PLAIN, aggregation=strategy_of("none"), ignore=["-"])
    things = tagged(served, PLAIN, ignore=["O"])
    for single, thing in zip(singles, things, strict=True):
        ends = [span.end for span in single.spans if span.label[:2] in ("E-", "S-")]
        begins = [span.start for span in single.spans if span.label[:2] in ("B-", "S-")]
        assert set(ends) <= {span.end for span in thing.spans}
        assert set(begins) <= {span.start for span in thing.spans}
        assert {span.label for span in thing.spans} <= {"PER"}
    assert any(span.label == "O" for item in singles for span in item.spans)


def test_long_texts_are_refused_cut_or_read_in_windows(heads: Any, serving: Serving) -> None:
    folder = heads("bert", "TokenClassification", BIO)
    served = serving(folder)
    text = " ".join(["water"] * 30 + ["Viktor"] * 40 + ["boats"] * 200)
    texts = [text, "short water"]
    refused, short = tagged(served, texts)
    assert refused.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert f"more than the {LONGEST}" in refused.error.message
    assert not short.error.code
    cut, same = tagged(served, texts, overflow=text_pb2.OVERFLOW_TRUNCATE)
    assert cut.truncated
    assert [span.end for span in same.spans] == [span.end for span in short.spans]
    whole, _ = tagged(
        served,
        texts,
        overflow=text_pb2.OVERFLOW_WINDOW,
        aggregation=strategy_of("none"),
        ignore=["none is left out"],
    )
    assert whole.windows > 2
    starts = [span.start for span in whole.spans]
    assert starts == sorted(set(starts)), "each token once, in its order"
    assert "".join(span.text for span in whole.spans) == text.replace(" ", "")
    assert not whole.truncated


def test_each_token_is_read_where_it_has_most_text_around_it(heads: Any, serving: Serving) -> None:
    folder = heads("bert", "TokenClassification", BIO)
    words = ["water", "boats", "grey", "snow", "viktor"] * 40
    text = " ".join(words)
    (result,) = tagged(
        serving(folder),
        [text],
        overflow=text_pb2.OVERFLOW_WINDOW,
        aggregation=strategy_of("none"),
        ignore=["-"],
    )
    ids = AutoTokenizer.from_pretrained(folder)(text, add_special_tokens=False).input_ids
    room = LONGEST - 2
    begins = range(0, len(ids) - room // 4, room - room // 4)
    windows = [(begin, min(len(ids), begin + room)) for begin in begins]
    scores = [
        oracle(folder).model(torch.tensor([[2, *ids[start:stop], 3]])).logits[0, 1:-1].softmax(-1)
        for start, stop in windows
    ]
    assert result.windows == len(windows)
    assert len(result.spans) == len(ids) == len(words)
    for place, span in enumerate(result.spans):
        around = [
            min(place - start if start else 999, stop - 1 - place if stop < len(ids) else 999)
            for start, stop in windows
        ]
        number = around.index(max(around))
        row = scores[number][place - windows[number][0]]
        assert span.score == pytest.approx(float(row.max().detach()), abs=CLOSE)
        assert span.label == BIO[int(row.argmax())]


def test_heads_on_decoders_need_no_padding(heads: Any, serving: Serving) -> None:
    folder = heads("gpt2", "TokenClassification", BIO, pad_token_id=None)
    for text, result in zip(PLAIN, tagged(serving(folder), PLAIN), strict=True):
        expected = by_transformers(folder, text, "simple")
        assert [(span.start, span.end, span.label) for span in result.spans] == [
            item[:3] for item in expected
        ]


def test_an_input_that_fails_fails_alone(heads: Any, serving: Serving) -> None:
    served = serving(heads("bert", "TokenClassification", BIO))
    empty, whole = tagged(served, ["", PLAIN[0]])
    assert empty.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "inputs[0]: must not be empty" in empty.error.message
    assert whole == tagged(served, [PLAIN[0]])[0]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"inputs": []}, "inputs"),
        ({"inputs": ["a"], "aggregation": 17}, "aggregation"),
        ({"inputs": ["a"], "overflow": 9}, "overflow"),
    ],
)
def test_wrong_fields_are_named(
    heads: Any, serving: Serving, fields: dict[str, Any], named: str
) -> None:
    served = serving(heads("bert", "TokenClassification", BIO))
    with pytest.raises(grpc.RpcError) as caught:
        served.text.Tag(text_pb2.TagRequest(**fields))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{named}:")
