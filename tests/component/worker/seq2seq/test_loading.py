"""Folders of encoder-decoders: how they are loaded, how long texts may be, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from lepton_testing.seq2seq import build, expected
from lepton_worker.backends.base import DecoderSequence, LoadOrder, Span
from lepton_worker.backends.native.backend import NativeBackend
from lepton_worker.backends.transformers.backend import TransformersBackend
from lepton_worker.errors import InvalidSetting
from lepton_worker.request import Sampling, Task, Tokens
from lepton_worker.samples.vocabularies import unigram

pytestmark = pytest.mark.component

PROMPT = (40, 41, 42, 43, 1)


def a_folder(folder: Path, family: str, cls: str = "", **said: Any) -> Path:
    """A model whose tokenizer has 411 tokens; `said` goes into config.json."""
    tokenizer = unigram()
    build(family, 4, vocab_size=len(tokenizer), eos_token_id=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    change(folder / "config.json", said)
    change(folder / "tokenizer_config.json", {"tokenizer_class": cls} if cls else {})
    return folder


def change(file: Path, said: dict[str, Any]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | said))


def an_order(folder: Path, **chosen: Any) -> LoadOrder:
    return LoadOrder(folder, Task.GENERATE, quantization="none", **chosen)


def answered(backend: Any, sampling: Sampling) -> list[int]:
    """What a loaded backend answers to the prompt."""
    text = DecoderSequence(Tokens(PROMPT), sampling)
    backend.begin(text)
    backend.step([Span(text, len(PROMPT))])
    while len(text.ids) < len(PROMPT) + sampling.max_new_tokens:
        backend.step([Span(text, 1)])
    backend.release(text)
    return text.ids[len(PROMPT) :]


@pytest.mark.parametrize("make", [NativeBackend, TransformersBackend])
@pytest.mark.parametrize(
    ("family", "cls"), [("marian", "MarianTokenizer"), ("m2m100", "M2M100Tokenizer")]
)
def test_a_tokenizer_whose_class_needs_sentencepiece(
    tmp_path: Path, make: Any, family: str, cls: str
) -> None:
    folder = a_folder(tmp_path, family, cls)
    backend = make()
    model = backend.load(an_order(folder))
    backend.warm_up()
    assert model.encoder_decoder
    [item] = model.tokenizer.encode(["The harbour"])
    assert list(item.tokens.ids) == unigram()("The harbour").input_ids
    module: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    sampling = Sampling(6, forced=model.defaults.forced)
    assert answered(backend, sampling) == expected(module, PROMPT, 6, eos_token_id=None)


def test_what_old_checkpoints_say_in_their_config(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "num_beams": 4,
        "max_length": 30,
        "min_length": 5,
        "forced_bos_token_id": 3,
    }
    folder = a_folder(tmp_path, "bart", **said)
    (folder / "generation_config.json").unlink()
    model = NativeBackend().load(an_order(folder))
    assert (model.defaults.max_new_tokens, model.defaults.min_new_tokens) == (29, 4)
    assert model.defaults.forced == (3,)
    assert model.choices["beams"] == "4: as the model's own config asks"
    # The cache holds one such text with its beams, however few texts run at once.
    single = NativeBackend().load(an_order(folder, slots=1))
    assert single.cache_tokens == 4 * 2 * single.max_length


@pytest.mark.parametrize(
    ("family", "said", "asked", "length"),
    [
        ("t5", {}, None, 1024),
        ("t5", {"n_positions": 300}, None, 300),
        ("t5", {"n_positions": 300}, 600, 600),
        ("bart", {}, None, 128),
        ("bart", {}, 100, 100),
    ],
)
def test_how_long_texts_may_be(
    tmp_path: Path, family: str, said: dict[str, Any], asked: int | None, length: int
) -> None:
    folder = a_folder(tmp_path, family, **said)
    model = NativeBackend().load(an_order(folder, max_length=asked))
    assert model.max_length == length
    assert model.cache_tokens == model.slots * 2 * length


def test_more_than_the_positions_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="takes 128"):
        NativeBackend().load(an_order(a_folder(tmp_path, "bart"), max_length=129))


def test_adapters_are_refused(tmp_path: Path) -> None:
    backend = NativeBackend()
    backend.load(an_order(a_folder(tmp_path, "t5")))
    with pytest.raises(InvalidSetting, match="encoder-decoder models take no adapters"):
        backend.load_adapter("a", tmp_path, "a")


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_shortened_weights_answer(tmp_path: Path, family: str, kind: Any) -> None:
    backend = NativeBackend()
    folder = a_folder(tmp_path, family)
    model = backend.load(LoadOrder(folder, Task.GENERATE, quantization=kind))
    backend.warm_up()
    assert model.choices["quantization"].startswith((kind, "none"))
    assert len(answered(backend, Sampling(6))) == 6
