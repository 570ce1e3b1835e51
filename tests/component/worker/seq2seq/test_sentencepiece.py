"""Translators whose tokenizer is there as SentencePiece files, through Translate."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
import transformers

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host, Served
from lepton_testing.sentencepiece import (
    model_bytes,
    unigram_pieces,
    write_m2m100,
    write_marian,
)
from lepton_testing.seq2seq import build
from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.native.backend import NativeBackend
from lepton_worker.backends.transformers.tokenizer import load_tokenizer
from lepton_worker.errors import TaskNotSupported, WeightsCorrupt
from lepton_worker.request import Task

pytestmark = pytest.mark.component

SOURCE = ["the harbour was quiet", "nobody knew the letter"]
TARGET = ["der hafen war still", "niemand kannte den brief"]
MARKS = [">>deu<<", ">>fra<<"]
LANGUAGES = 100


class Folder:
    """A model with such files, and what transformers' own module answers to their tokens."""

    def __init__(self, folder: Path, vocabulary: dict[str, int], module: Any) -> None:
        module.save_pretrained(folder)
        self.path, self.vocabulary = folder, vocabulary
        # As it is read: a head that is tied to the embedding was not when it was made.
        self.module: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
        self.texts = {number: text for text, number in vocabulary.items()}

    def ids(self, text: str) -> list[int]:
        """The numbers of a text's words."""
        return [self.vocabulary[f"▁{word}"] for word in text.split()]

    def answer(self, ids: list[int], **more: Any) -> str:
        with torch.inference_mode():
            found = self.module.generate(torch.tensor([ids]), max_new_tokens=8, **more)
        kept = [self.texts.get(number, "") for number in found[0].tolist()]
        special = {"</s>", "<pad>", "<unk>", "<s>"}
        return "".join(text for text in kept if text not in special).replace("▁", " ").strip()


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("spelled") / "marian"
    folder.mkdir()
    pieces = unigram_pieces(SOURCE), unigram_pieces(TARGET)
    vocabulary = write_marian(folder, *pieces, MARKS)
    padding = vocabulary["<pad>"]
    module = build(
        "marian",
        4,
        vocab_size=len(vocabulary),
        eos_token_id=0,
        pad_token_id=padding,
        decoder_start_token_id=padding,
        bad_words_ids=[[padding]],
        forced_eos_token_id=0,
    )
    module.generation_config.num_beams = 3
    module.generation_config.no_repeat_ngram_size = 1
    return Folder(folder, vocabulary, module)


@pytest.fixture(scope="module")
def m2m100(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("spelled") / "m2m100"
    folder.mkdir()
    vocabulary = write_m2m100(folder, unigram_pieces([*SOURCE, *TARGET]))
    module = build(
        "m2m100",
        4,
        vocab_size=len(vocabulary) + LANGUAGES,
        eos_token_id=2,
        forced_bos_token_id=None,
    )
    return Folder(folder, vocabulary, module)


def serve(host: Host, folder: Folder) -> Served:
    return host.serve(
        backend="auto", source=str(folder.path), model_name="translator", quantization="none"
    )


def translated(served: Served, source: str, target: str) -> list[str]:
    asked = text_pb2.TranslateRequest(
        inputs=SOURCE, source_language=source, target_language=target, max_tokens=8
    )
    return [item.text for item in served.text.Translate(asked).results]


def test_marian_by_the_token_that_a_text_begins_with(host: Host, marian: Folder) -> None:
    served = serve(host, marian)
    seen = set()
    for language in ("deu", "fra"):
        first = marian.vocabulary[f">>{language}<<"]
        for text, found in zip(SOURCE, translated(served, "", language), strict=True):
            assert found == marian.answer([first, *marian.ids(text), 0])
            seen.add(found)
    assert len(seen) > 2
    with pytest.raises(grpc.RpcError) as caught:
        translated(served, "", "xyz")
    assert "must be one of to_deu, to_fra" in str(caught.value.details())
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert (info.backend, info.choices["beams"][:2]) == ("native", "3:")


def test_m2m100_by_the_tokens_of_languages(host: Host, m2m100: Folder) -> None:
    served = serve(host, m2m100)
    codes = {"af": 0, "de": 16, "en": 18, "zu": 99}
    numbers = {code: len(m2m100.vocabulary) + place for code, place in codes.items()}
    seen = set()
    for source, target in (("", "de"), ("af", "zu"), ("de", "en")):
        first = numbers[source or "en"]
        for text, found in zip(SOURCE, translated(served, source, target), strict=True):
            ids = [first, *m2m100.ids(text), 2]
            assert found == m2m100.answer(ids, forced_bos_token_id=numbers[target])
            seen.add(found)
    assert len(seen) > 3
    tokens = served.text.Tokenize(text_pb2.TokenizeRequest(inputs=SOURCE[:1])).results[0]
    assert list(tokens.token_ids) == [numbers["en"], *m2m100.ids(SOURCE[0]), 2]


def test_a_long_text_is_read_in_parts(host: Host, m2m100: Folder) -> None:
    served = serve(host, m2m100)
    asked = text_pb2.TranslateRequest(
        inputs=[f"{SOURCE[0]}. " * 40],
        target_language="de",
        max_tokens=4,
        overflow=text_pb2.OVERFLOW_WINDOW,
    )
    assert served.text.Translate(asked).results[0].windows > 1


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"separate_vocabs": True}, TaskNotSupported, "separate_vocabs"),
        ({"src_lang": "tlh"}, TaskNotSupported, "'tlh' is not known"),
        (b"no model", WeightsCorrupt, "is not a model of SentencePiece"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, change: Any, error: type[Exception], text: str
) -> None:
    write_m2m100(tmp_path, unigram_pieces(SOURCE))
    build("m2m100").save_pretrained(tmp_path)
    if isinstance(change, bytes):
        (tmp_path / "sentencepiece.bpe.model").write_bytes(change)
    else:
        file = tmp_path / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(error, match=text):
        NativeBackend().load(LoadOrder(tmp_path, Task.GENERATE))


@pytest.mark.parametrize(
    ("said", "places", "form"),
    [
        ({"tokenizer_class": "MBart50Tokenizer"}, {"ar_AR": 0, "en_XX": 3, "sl_SI": 51}, "LXE"),
        ({"tokenizer_class": "MBartTokenizerFast"}, {"ar_AR": 0, "en_XX": 3, "zh_CN": 24}, "XEL"),
        ({"tokenizer_class": "NllbTokenizer"}, {"ace_Arab": 0, "eng_Latn": 46}, "LXE"),
        ({"tokenizer_class": "NllbTokenizer", "legacy_behaviour": True}, {"eng_Latn": 46}, "XEL"),
    ],
)
def test_numbers_of_fairseq(
    tmp_path: Path, said: dict[str, Any], places: dict[str, int], form: str
) -> None:
    pieces = unigram_pieces(SOURCE)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(model_bytes(pieces))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    ours = load_tokenizer(tmp_path)
    # Four specials, the pieces behind the model's own three, languages.
    first = len(pieces) + 1
    for language, place in places.items():
        assert ours.specials[language] == first + place
    assert ours.specials["<mask>"] == ours.size - 1
    words = [text for text, _, _ in pieces]
    inner = [words.index(f"▁{word}") + 1 for word in SOURCE[0].split()]
    usual = ours.specials["eng_Latn" if "eng_Latn" in places else "en_XX"]
    parts = {"L": [usual], "X": inner, "E": [2]}
    expected = [number for part in form for number in parts[part]]
    assert list(ours.encode([SOURCE[0]])[0].tokens.ids) == expected
    assert ours.decode(expected) == SOURCE[0]
