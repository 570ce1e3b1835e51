"""Folders of translators whose tokenizer is there as SentencePiece files.

Marian and M2M100 have the numbers of the pieces in a vocab.json. mBART and NLLB, which come from
fairseq, count special tokens first, then the pieces, then languages.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from lepton_worker.backends.fast_tokenizer import FastTokenizer
from lepton_worker.backends.sentencepiece_model import PieceModel, read_model
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
FAIRSEQ = {
    "MBartTokenizer": ("mbart", "en_XX"),
    "MBart50Tokenizer": ("mbart50", "en_XX"),
    "NllbTokenizer": ("nllb", "eng_Latn"),
}
"""Classes of the others: where transformers lists their languages, and the usual one of texts."""
SPECIALS, MASK = ("<s>", "<pad>", "</s>", "<unk>"), "<mask>"
"""What is in front of fairseq's pieces, and behind its languages."""
DEFAULTS = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"}


def is_spelled(folder: Path) -> bool:
    """Whether a folder has such files, and no other form of its tokenizer."""
    if (folder / "tokenizer.json").is_file():
        return False
    named = (folder / VOCABULARY).is_file()
    ours = named or _class(_config(folder)) in FAIRSEQ
    return (named and (folder / MARIAN).is_file()) or (ours and (folder / M2M100).is_file())


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
    try:
        pieces = read_model(folder / name)
        if (folder / VOCABULARY).is_file():
            marks = _marian(said) if name == MARIAN else _m2m100(said)
            vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        else:
            marks, vocabulary = _fairseq(said), _counted(pieces)
        made = SpelledTokenizer(pieces, vocabulary, marks)
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


def _class(said: dict[str, Any]) -> str:
    return str(said.get("tokenizer_class") or "").removesuffix("Fast")


def _fairseq(said: dict[str, Any]) -> Marks:
    place, usual = FAIRSEQ[_class(said)]
    module = importlib.import_module(f"transformers.models.{place}.tokenization_{place}")
    languages: list[str] = module.FAIRSEQ_LANGUAGE_CODES
    source = said.get("src_lang") or usual
    if source not in languages:
        raise TaskNotSupported(f"the tokenizer's source language {source!r} is not known")
    behind = place == "mbart" or (place == "nllb" and bool(said.get("legacy_behaviour")))
    front, back = ((), ("</s>", source)) if behind else ((source,), ("</s>",))
    return Marks(SPECIALS, (*languages, MASK), front, back)


def _counted(pieces: PieceModel) -> dict[str, int]:
    """The numbers of fairseq: its own specials in place of the model's first three pieces."""
    usual = (piece.text for piece in pieces.pieces[3:])
    return {text: number for number, text in enumerate((*SPECIALS, *usual))}
