"""Labels of tokens to labelled spans of text."""

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from lepton_worker.model import Pieces
from lepton_worker.request import Vector

OUTSIDE = frozenset(["O"])
"""Labels that are left out unless others are named."""

MARK = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
BEGINS, ENDS = frozenset("BSU"), frozenset("ESLU")
"""Marks of a token that begins a thing, and of one that ends it: of BIO, of BIOES and BILOU."""


class Aggregation(enum.Enum):
    """How the tokens of one thing are joined."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True)
class Found:
    """Characters `start` to `end` of a text, with a label and its probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True)
class Scheme:
    """How labels are to be read: which of them are a mark and a name."""

    labels: tuple[str, ...]

    def read(self, label: str) -> tuple[str, str]:
        """Mark and name; a label without a mark goes on with the same one in front of it.

        E-, S-, L- and U- are marks only where the same name also has B- or I-.
        """
        match = MARK.fullmatch(label)
        if match is None:
            return "I", label
        mark, name = match.groups()
        if mark in "BI" or {f"B-{name}", f"I-{name}"} & set(self.labels):
            return mark, name
        return "I", label


def spans(
    text: str,
    pieces: Pieces,
    logits: Vector,
    labels: tuple[str, ...],
    aggregation: Aggregation,
    ignore: frozenset[str] = OUTSIDE,
) -> list[Found]:
    """The labelled spans of a text in their order; `logits` is [tokens, labels], one row a piece.

    Aggregation is that of transformers' TokenClassificationPipeline; spaces at the ends of a span
    are left out, and spans of nothing but spaces.
    """
    tokens = _tokens(pieces, logits)
    if aggregation not in (Aggregation.NONE, Aggregation.SIMPLE):
        tokens = [_word(group, aggregation) for group in _words(pieces, tokens)]
    found = [token.found(labels) for token in tokens]
    if aggregation is not Aggregation.NONE:
        found = [_joined(group) for group in _things(found, Scheme(labels))]
    shown = [trimmed(text, item) for item in found if item.label not in ignore]
    return [item for item in shown if item.start < item.end]


@dataclass(frozen=True)
class _Scored:
    """A token or a word with the probability of each label."""

    start: int
    end: int
    scores: Vector

    def found(self, labels: tuple[str, ...]) -> Found:
        """With its best label."""
        best = int(self.scores.argmax())
        return Found(self.start, self.end, labels[best], float(self.scores[best]))


def _tokens(pieces: Pieces, logits: Vector) -> list[_Scored]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = shifted / shifted.sum(axis=-1, keepdims=True)
    return [_Scored(*span, row) for span, row in zip(pieces.spans, scores, strict=False)]


def _words(pieces: Pieces, tokens: Sequence[_Scored]) -> Iterator[list[_Scored]]:
    numbered = zip(pieces.words, tokens, strict=False)
    for _, group in groupby(numbered, key=lambda pair: pair[0]):
        yield [token for _, token in group]


def _word(tokens: Sequence[_Scored], aggregation: Aggregation) -> _Scored:
    if aggregation is Aggregation.FIRST:
        scores = tokens[0].scores
    elif aggregation is Aggregation.MAX:
        scores = max((token.scores for token in tokens), key=lambda row: float(row.max()))
    else:
        scores = np.mean([token.scores for token in tokens], axis=0)
    return _Scored(tokens[0].start, tokens[-1].end, scores)


def _things(found: Sequence[Found], scheme: Scheme) -> Iterator[list[Found]]:
    """Neighbours with the same name, parted where a mark says so; each takes its name as label."""
    group: list[Found] = []
    last_mark = ""
    for item in found:
        mark, name = scheme.read(item.label)
        new = mark in BEGINS or last_mark in ENDS
        if group and (new or group[-1].label != name):
            yield group
            group = []
        group.append(Found(item.start, item.end, name, item.score))
        last_mark = mark
    if group:
        yield group


def _joined(group: Sequence[Found]) -> Found:
    score = sum(item.score for item in group) / len(group)
    return Found(group[0].start, group[-1].end, group[0].label, score)


def trimmed(text: str, item: Found) -> Found:
    """The span without the spaces at its ends, as some tokenizers count them in."""
    part = text[item.start : item.end]
    start = item.start + len(part) - len(part.lstrip())
    return Found(start, max(start, item.start + len(part.rstrip())), item.label, item.score)
