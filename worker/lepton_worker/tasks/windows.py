"""Long texts in overlapping windows, and the windows' answers joined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_worker.request import Tokens, Vector

OVERLAP = 4
"""One part in so many of a window is read in the next one, too."""


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `stop` of a text, as the model takes them: behind `offset` others."""

    tokens: Tokens
    start: int
    stop: int
    offset: int = 0

    @property
    def weight(self) -> int:
        """How many of the text's tokens it has."""
        return self.stop - self.start

    def own(self, rows: Vector) -> Vector:
        """Of one row for each token of the window, those of the text's tokens."""
        part: Vector = rows[self.offset : self.offset + self.weight]
        return part


def cuts(count: int, room: int) -> list[tuple[int, int]]:
    """Where windows of `room` tokens begin and end in a text of `count` tokens."""
    step = room - room // OVERLAP
    last = max(0, count - room)
    begins = range(0, last + step, step) if last else range(1)
    return [(begin, min(count, begin + room)) for begin in begins]


def mean(vectors: Sequence[Vector], windows: Sequence[Window]) -> Vector:
    """The mean over windows, weighted with their tokens."""
    if len(vectors) == 1:
        return vectors[0]
    weights = [max(1, window.weight) for window in windows]
    average: Vector = np.average(np.stack(vectors), axis=0, weights=weights).astype(np.float32)
    return average


def owners(windows: Sequence[Window]) -> list[int]:
    """For each token of a text the window in which it has most text on its nearer side.

    The "maximum context" of Devlin et al. 2019 (BERT); of equal ones the first.
    """
    count = windows[-1].stop
    chosen, most = [0] * count, [-1] * count
    for number, window in enumerate(windows):
        for place in range(window.start, window.stop):
            # Beyond the ends of the text there is nothing to be missed.
            before = place - window.start if window.start else count
            behind = window.stop - 1 - place if window.stop < count else count
            if min(before, behind) > most[place]:
                chosen[place], most[place] = number, min(before, behind)
    return chosen


def rows(vectors: Sequence[Vector], windows: Sequence[Window]) -> Vector:
    """One row for each token of a text, each from the window that owns it."""
    own = [window.own(vector) for window, vector in zip(windows, vectors, strict=True)]
    if len(own) == 1:
        return own[0]
    kept = [
        own[number][place - windows[number].start] for place, number in enumerate(owners(windows))
    ]
    return np.stack(kept)
