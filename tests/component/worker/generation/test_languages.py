"""The language of a text, marked as the tokenizers of multilingual models mark it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import transformers

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.backends.transformers.tokenizer import FastTokenizer
from lepton_worker.request import Task
from lepton_worker.tasks.written import Length, translation, written_job

pytestmark = pytest.mark.component

PIECES = ["▁", "▁the", "▁harbour", "▁was", "▁quiet", *"abcdefghijklmnopqrstuvwxyz"]


def nllb() -> Any:
    words = ["<s>", "<pad>", "</s>", "<unk>", *PIECES]
    return transformers.NllbTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], src_lang="eng_Latn"
    )


def mbart50() -> Any:
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -1.0) for piece in PIECES]
    return transformers.MBart50Tokenizer(vocab=vocabulary, src_lang="en_XX")


@pytest.mark.parametrize(
    ("make", "source", "target"),
    [(nllb, "deu_Latn", "fra_Latn"), (mbart50, "de_DE", "fr_XX")],
)
def test_a_text_is_marked_as_of_its_language(make: Any, source: str, target: str) -> None:
    theirs = make()
    model = dataclasses.replace(
        EchoBackend().load(LoadOrder(Path(), Task.GENERATE)),
        tokenizer=FastTokenizer(theirs.backend_tokenizer, False),
        vocabulary=len(theirs),
        encoder_decoder=True,
        languages={name: theirs.convert_tokens_to_ids(name) for name in (source, target)}
        | {theirs.src_lang: theirs.convert_tokens_to_ids(theirs.src_lang)},
    )
    text = "the harbour was quiet"
    unmarked = theirs(text).input_ids
    order = translation(model, "", target)
    ids = written_job(model, order, text, Length(), False, "inputs[0]").job.prompt.ids
    assert list(ids) == unmarked
    order = translation(model, source, target)
    job = written_job(model, order, text, Length(), False, "inputs[0]").job
    theirs.src_lang = source
    marked = theirs(text).input_ids
    assert marked != unmarked
    assert list(job.prompt.ids) == marked
    assert job.sampling.forced == (theirs.convert_tokens_to_ids(target),)
