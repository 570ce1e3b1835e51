"""Folders of Marian and M2M100 whose tokenizer is there as SentencePiece files and a vocab.json."""

import json
from pathlib import Path
from typing import Any

from lepton_worker.backends.fast_tokenizer import FastTokenizer
from lepton_worker.backends.sentencepiece_model import read_model
from lepton_worker.backends.spelled_tokenizer import Marks, SpelledTokenizer
from lepton_worker.errors import TaskNotSupported, WeightsCorrupt

MARIAN, M2M100 = "source.spm", "sentencepiece.bpe.model"
"""The files that make the pieces of texts."""
VOCABULARY = "vocab.json"
LEADS = (">>", "<<")
"""Around the language that a Marian model of several languages shall write."""
LANGUAGES = {
    "m2m100": "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga "
    "gd gl gu ha he hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk "
    "ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl "
    "tn tr uk ur uz vi wo xh yi yo zh zu",
    "wmt21": "en ha is ja cs ru zh de",
}
"""Languages of M2M100's checkpoints, whose numbers follow those of the vocabulary in this order."""
DEFAULTS = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"}


def is_spelled(folder: Path) -> bool:
    """Whether a folder has such files, and no other form of its tokenizer."""
    pieces = (folder / name for name in (MARIAN, M2M100))
    whole = (folder / "tokenizer.json").is_file()
    return not whole and (folder / VOCABULARY).is_file() and any(p.is_file() for p in pieces)


def spelled_tokenizer(folder: Path, lower: bool = False) -> FastTokenizer:
    """The tokenizer of such a folder, with the tokens of transformers' own classes.

    Raises TaskNotSupported, WeightsCorrupt.
    """
    said = _config(folder)
    name = MARIAN if (folder / MARIAN).is_file() else M2M100
    if said.get("separate_vocabs"):
        raise TaskNotSupported(
            f"the tokenizer in {folder} has a vocabulary for each side (separate_vocabs), which is "
            "not read here: a tokenizer.json has to be beside it"
        )
    marks = _marian(said) if name == MARIAN else _m2m100(said)
    try:
        vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        made = SpelledTokenizer(read_model(folder / name), vocabulary, marks)
    except (ValueError, TypeError) as error:
        raise WeightsCorrupt(f"the tokenizer in {folder} cannot be read: {error}") from error
    return FastTokenizer(made, typed=False, lower=lower, unknown=vocabulary[marks.unknown])


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return said


def _token(said: dict[str, Any], name: str) -> str:
    """A special token, which configs write as a text or as an object."""
    token = said.get(name) or DEFAULTS[name]
    return str(token["content"] if isinstance(token, dict) else token)


def _marian(said: dict[str, Any]) -> Marks:
    end, padding, unknown = (_token(said, f"{name}_token") for name in ("eos", "pad", "unk"))
    return Marks((end, unknown, padding), back=(end,), unknown=unknown, leads=LEADS)


def _m2m100(said: dict[str, Any]) -> Marks:
    names = ("bos", "eos", "pad", "unk")
    own = tuple(_token(said, f"{name}_token") for name in names)
    known = LANGUAGES.get(said.get("language_codes") or "m2m100", "").split()
    source = said.get("src_lang") or "en"
    if source not in known:
        raise TaskNotSupported(f"the tokenizer's source language {source!r} is not known")
    languages = tuple(f"__{code}__" for code in known)
    return Marks(own, languages, (f"__{source}__",), (own[1],), own[3])
