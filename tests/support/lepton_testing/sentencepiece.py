"""Files of the library SentencePiece, written by hand, and translators that have them."""

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Piece = tuple[str, float, int]
"""Text, score, kind: 1 usual, 2 unknown, 3 control, 4 defined by the user."""

UNKNOWN: Piece = ("<unk>", 0.0, 2)
CONTROLS: tuple[Piece, ...] = (UNKNOWN, ("<s>", 0.0, 3), ("</s>", 0.0, 3))


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def _field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def model_bytes(pieces: Iterable[Piece], kind: int = 1, **said: Any) -> bytes:
    """A model; `said` has prefix, trims, charsmap and bytes, where they are not as usual."""
    parts = [
        _field(1, _field(1, text.encode()) + _field(2, score) + _field(3, sort))
        for text, score, sort in pieces
    ]
    trainer = _field(3, kind) + _field(35, int(said.get("bytes", False))) + _field(40, 0)
    normalizer = (
        _field(1, b"own")
        + _field(2, said.get("charsmap", b""))
        + _field(3, int(said.get("prefix", True)))
        + _field(4, int(said.get("trims", True)))
    )
    return b"".join(parts) + _field(2, trainer) + _field(3, normalizer)


def unigram_pieces(texts: Iterable[str], extra: Sequence[str] = ()) -> list[Piece]:
    """A piece for each word and each letter; words are far more probable."""
    words = dict.fromkeys(word for text in texts for word in text.split())
    letters = sorted({letter for word in words for letter in word})
    usual = [*(f"▁{word}" for word in words), *extra, "▁", *letters]
    scores = [-2.0 - 0.001 * place - 4 * (len(text) < 2) for place, text in enumerate(usual)]
    return [*CONTROLS, *((text, score, 1) for text, score in zip(usual, scores, strict=True))]


def write_marian(
    folder: Path, pieces: Sequence[Piece], target: Sequence[Piece], marks: Sequence[str] = ()
) -> dict[str, int]:
    """The tokenizer's files of a Marian model; returns its vocabulary."""
    texts = sorted({text for text, _, kind in (*pieces, *target) if kind == 1})
    vocabulary = {"</s>": 0, "<unk>": 1}
    for text in (*marks, *texts, "<pad>"):
        vocabulary[text] = len(vocabulary)
    (folder / "source.spm").write_bytes(model_bytes(pieces))
    (folder / "target.spm").write_bytes(model_bytes(target))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "MarianTokenizer"}')
    return vocabulary


def write_m2m100(folder: Path, pieces: Sequence[Piece], kind: int = 1) -> dict[str, int]:
    """The tokenizer's files of an M2M100 model; returns its vocabulary, without languages."""
    texts = sorted(text for text, _, sort in pieces if sort == 1)
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {text: place for place, text in enumerate([*specials, *texts])}
    (folder / "sentencepiece.bpe.model").write_bytes(model_bytes(pieces, kind))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    said = {"tokenizer_class": "M2M100Tokenizer", "src_lang": "en"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return vocabulary
