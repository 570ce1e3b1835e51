"""Models of the library SentencePiece, read from their files and run by the library tokenizers.

A file is a protocol buffer (`sentencepiece_model.proto` of SentencePiece); only what decides the
pieces of a text is read from it. Imports neither torch nor transformers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers

SPACE = "▁"
"""What stands for a space in pieces."""
UNIGRAM, BPE = 1, 2
"""Kinds of models."""
CONTROL, USER_DEFINED, UNUSED = 3, 4, 5
"""Kinds of pieces besides the usual ones: never made of text, always made, never used."""

PIECES, TRAINER, NORMALIZER = 1, 2, 3
"""Fields of a model; those of its parts are named where they are read."""


@dataclass(frozen=True)
class Piece:
    """A piece of text, by the log probability or the order in which it is chosen."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class PieceModel:
    """What decides the pieces of a text.

    `charsmap` is the compiled table of the normalization, `prefix` says that a space goes in front
    of each text, `trims` that spaces at its ends and double ones are left out.
    """

    pieces: tuple[Piece, ...]
    kind: int = UNIGRAM
    unknown: int = 0
    byte_fallback: bool = False
    charsmap: bytes = b""
    prefix: bool = True
    trims: bool = True


def read_model(file: Path) -> PieceModel:
    """The model in a file; raises ValueError for what is none."""
    pieces: list[Piece] = []
    trainer: dict[int, object] = {}
    normalizer: dict[int, object] = {}
    try:
        for number, value in _fields(file.read_bytes()):
            if number == PIECES:
                said = dict(_fields(_bytes(value)))
                score = said.get(2, 0.0)
                assert isinstance(score, float)
                pieces.append(Piece(_bytes(said[1]).decode(), score, _number(said, 3, 1)))
            elif number == TRAINER:
                trainer = dict(_fields(_bytes(value)))
            elif number == NORMALIZER:
                normalizer = dict(_fields(_bytes(value)))
    except (AssertionError, IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"{file} is not a model of SentencePiece") from error
    kind = _number(trainer, 3, UNIGRAM)
    if not pieces or kind not in (UNIGRAM, BPE):
        raise ValueError(f"{file} has no pieces, or chooses them in a way that is not known here")
    return PieceModel(
        tuple(pieces),
        kind,
        unknown=_number(trainer, 40, 0),
        byte_fallback=bool(_number(trainer, 35, 0)),
        charsmap=_bytes(normalizer.get(2, b"")),
        prefix=bool(_number(normalizer, 3, 1)),
        trims=bool(_number(normalizer, 4, 1)),
    )


def splitter(model: PieceModel) -> Tokenizer:
    """What makes pieces of texts; the numbers of its tokens are the places of the pieces."""
    made = Tokenizer(_unigram(model) if model.kind == UNIGRAM else _bpe(model))
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.trims:
        steps.append(normalizers.Replace(Regex(rf"\A +|[ {SPACE}]+\z"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    if model.prefix:
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    made.normalizer = normalizers.Sequence(steps)
    made.add_tokens([piece.text for piece in model.pieces if piece.kind == USER_DEFINED])
    return made


def _unigram(model: PieceModel) -> models.Unigram:
    scores = [(piece.text, piece.score) for piece in model.pieces]
    return models.Unigram(scores, unk_id=model.unknown, byte_fallback=model.byte_fallback)


def _bpe(model: PieceModel) -> models.BPE:
    """Pairs are merged in the order of what they make, the best score first."""
    places = {piece.text: place for place, piece in enumerate(model.pieces)}
    usual = [piece for piece in model.pieces if piece.kind not in (CONTROL, UNUSED)]
    merges = [
        (piece.text[:cut], piece.text[cut:])
        for piece in sorted(usual, key=lambda piece: -piece.score)
        for cut in range(1, len(piece.text))
        if piece.text[:cut] in places and piece.text[cut:] in places
    ]
    return models.BPE(
        places,
        merges,
        unk_token=model.pieces[model.unknown].text,
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
    )


# -------------------------------------------------------------- protocol buffers
def _fields(data: bytes) -> Iterator[tuple[int, object]]:
    """Numbers and values of a message: int, float, or bytes; raises IndexError, struct.error."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        value: object
        if wire == 0:
            value, place = _varint(data, place)
        elif wire == 2:
            size, place = _varint(data, place)
            value, place = data[place : place + size], place + size
            if place > len(data):
                raise IndexError("a field is longer than its message")
        elif wire == 5:
            (value,), place = struct.unpack_from("<f", data, place), place + 4
        elif wire == 1:
            (value,), place = struct.unpack_from("<d", data, place), place + 8
        else:
            raise IndexError("a field of a kind that is not known")
        yield number, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _number(said: dict[int, object], field: int, usual: int) -> int:
    value = said.get(field, usual)
    assert isinstance(value, int)
    return value
