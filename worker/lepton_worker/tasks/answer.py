"""Where in a context the answer to a question stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lepton_worker.model import Model, Pieces
from lepton_worker.request import Vector
from lepton_worker.tasks.reading import (
    Overflow,
    Reading,
    Shape,
    empty,
    fit,
    placed,
    plain,
    uncut,
)
from lepton_worker.tasks.tag import Found, trimmed
from lepton_worker.tasks.windows import Window
from lepton_worker.tasks.words import whole_words

Numbers: TypeAlias = npt.NDArray[np.float64]

DEFAULT_TOKENS = 30


@dataclass(frozen=True)
class Asked:
    """How many answers, of how many tokens at most, and whether none is an answer, too.

    `marked` says that inputs begin with a special token, the place that stands for no answer.
    """

    top_k: int = 1
    longest: int = DEFAULT_TOKENS
    may_be_none: bool = False
    marked: bool = True


@dataclass(frozen=True)
class _Scores:
    """Log probabilities that an answer starts and ends at each token of a window."""

    window: Window
    start: Numbers
    end: Numbers
    none: float


def read_questions(model: Model, pairs: Sequence[tuple[str, str]], field: str) -> list[Reading]:
    """Questions, each in front of its context; long contexts are read in windows."""
    frame = model.tokenizer.frame(pair=True)
    readings = []
    for index, (question, context) in enumerate(pairs):
        names = f"{field}[{index}].question", f"{field}[{index}].context"
        if not question or not context:
            readings.append(empty(names[1] if question else names[0]))
            continue
        (asked,) = plain(model, [question], Overflow.REJECT)
        if error := uncut(model, asked, names[0]):
            readings.append(Reading(error=error))
            continue
        part, pieces = placed(model, context, Overflow.WINDOW)
        shape = Shape(model, frame, Overflow.WINDOW, other=asked.ids, long_second=True)
        readings.append(replace(fit(shape, part, names[1]), pieces=pieces))
    return readings


def answers(
    context: str, pieces: Pieces, windows: Sequence[Window], logits: Sequence[Vector], asked: Asked
) -> list[Found]:
    """The most probable spans of a context, best first; an empty span is "no answer".

    `logits` has [tokens, 2] for each window: of starts and of ends, as in SQuAD (Rajpurkar et al.
    2016). A span's probability is that of its start times that of its end, over the tokens of all
    windows together (Clark & Gardner 2018), the first special token included; spans are widened to
    whole words.
    """
    if not pieces.ids:
        return []
    scored = _scored(windows, logits, asked)
    best: dict[tuple[int, int], float] = {}
    for scores in scored:
        for place, value in _best(context, pieces, scores, asked).items():
            best[place] = max(value, best.get(place, -np.inf))
    if asked.may_be_none and asked.marked:
        # The window that is the least sure of it decides: one with an answer is enough.
        best[0, 0] = min(scores.none for scores in scored)
    order = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return [Found(*place, "", float(np.exp(value))) for place, value in order[: asked.top_k]]


def _scored(windows: Sequence[Window], logits: Sequence[Vector], asked: Asked) -> list[_Scores]:
    """Logits as log probabilities over all windows; what is neither context nor the first special
    token can be no answer and does not count."""
    counted = [
        np.concatenate([rows[: int(asked.marked)], window.own(rows)]).astype(np.float64)
        for window, rows in zip(windows, logits, strict=True)
    ]
    total = _log_sum(np.concatenate(counted))
    found = []
    for window, rows in zip(windows, counted, strict=True):
        probable = rows - total
        own = probable[int(asked.marked) :]
        found.append(_Scores(window, own[:, 0], own[:, 1], float(probable[0].sum())))
    return found


def _log_sum(rows: Numbers) -> Numbers:
    highest = rows.max(axis=0)
    total: Numbers = highest + np.log(np.exp(rows - highest).sum(axis=0))
    return total


def _best(
    context: str, pieces: Pieces, scores: _Scores, asked: Asked
) -> dict[tuple[int, int], float]:
    """The most probable spans of a window, by their characters, each with its best value."""
    found: dict[tuple[int, int], float] = {}
    for first, last, value in _candidates(scores, asked.longest):
        start, end = pieces.spans[first][0], pieces.spans[last][1]
        part = trimmed(context, Found(start, end, "", 0.0))
        place = whole_words(context, part.start, part.end)
        if place[0] < place[1]:
            found.setdefault(place, value)
        if len(found) == asked.top_k:
            break
    return found


def _candidates(scores: _Scores, longest: int) -> Iterator[tuple[int, int, float]]:
    """First and last token in the context, log probability: the most probable first."""
    count = scores.window.weight
    wide = min(longest, count)
    ends = np.full((count, wide), -np.inf)
    for length in range(wide):
        ends[: count - length, length] = scores.end[length:]
    sums = (scores.start[:, None] + ends).ravel()
    for place in np.argsort(-sums, kind="stable"):
        if np.isneginf(sums[place]):
            return
        first, length = divmod(int(place), wide)
        begin = scores.window.start + first
        yield begin, begin + length, float(sums[place])
