"""Inputs of encoders: tokenized, held against the model's length, cut or read in windows."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lepton_worker.errors import InvalidRequest, RequestError, Violation
from lepton_worker.model import Frame, Model, Pieces
from lepton_worker.tasks.prepare import LONGEST_TOKEN, too_long, unknown_token
from lepton_worker.tasks.windows import Window, cuts

MOST_WINDOWS = 1024
"""In which one input may be read."""

MOST_CHARACTERS = 4_000_000
"""Of an input that is read in windows."""

LEAST_ROOM = 8
"""Tokens that must be left for the long text, beside the other one of a pair."""


class Overflow(enum.Enum):
    """What to do with an input of more tokens than the model takes."""

    REJECT = "reject"
    TRUNCATE = "truncate"
    WINDOW = "window"


@dataclass(frozen=True)
class Reading:
    """One input as the model will get it, or what is wrong with it.

    `pieces` are the tokens of the whole text without special ones, where places matter.
    """

    windows: tuple[Window, ...] = ()
    truncated: bool = False
    error: RequestError | None = None
    pieces: Pieces | None = None

    @property
    def shown_windows(self) -> int:
        """How many windows it is read in; 0 for one that is read whole."""
        return len(self.windows) if len(self.windows) > 1 else 0


@dataclass(frozen=True)
class Part:
    """A text as tokens without special ones; `whole` says that it was tokenized to its end."""

    ids: tuple[int, ...]
    whole: bool = True
    characters: int = 0


@dataclass(frozen=True)
class Shape:
    """How inputs are built: a long text in a frame, and the other text of a pair if there is one.

    The other one is never cut; `long_second` says that it comes first. `reserved` tokens are left
    for it at least, for pairs that are to be cut at the same places.
    """

    model: Model
    frame: Frame
    overflow: Overflow
    other: tuple[int, ...] = ()
    long_second: bool = False
    reserved: int = 0

    @property
    def room(self) -> int:
        """Tokens that the long text may have; negative if the other one alone is too long."""
        return self.model.max_length - self.frame.count - max(self.reserved, len(self.other))

    def window(self, part: Part, start: int, stop: int) -> Window:
        """Tokens `start` to `stop` of the long text."""
        own, front = part.ids[start:stop], len(self.frame.front)
        if self.long_second:
            offset = front + len(self.other) + len(self.frame.middle)
            return Window(self.frame.around(self.other, own), start, stop, offset)
        return Window(self.frame.around(own, self.other), start, stop, front)


def read_texts(
    model: Model, texts: Sequence[str], overflow: Overflow, field: str, prefix: str = ""
) -> list[Reading]:
    """Each text by itself, behind `prefix`."""
    shape = Shape(model, model.tokenizer.frame(), overflow)
    parts = plain(model, [prefix + text if text else "" for text in texts], overflow)
    return [
        fit(shape, part, f"{field}[{index}]") if text else empty(f"{field}[{index}]")
        for index, (text, part) in enumerate(zip(texts, parts, strict=True))
    ]


def read_text(model: Model, text: str, overflow: Overflow, field: str) -> Reading:
    """One text that is not empty."""
    (part,) = plain(model, [text], overflow)
    return fit(Shape(model, model.tokenizer.frame(), overflow), part, field)


def read_places(
    model: Model, texts: Sequence[str], overflow: Overflow, field: str
) -> list[Reading]:
    """Each text by itself, with the places of its tokens."""
    shape = Shape(model, model.tokenizer.frame(), overflow)
    readings = []
    for index, text in enumerate(texts):
        name = f"{field}[{index}]"
        if not text:
            readings.append(empty(name))
            continue
        part, pieces = placed(model, text, overflow)
        readings.append(replace(fit(shape, part, name), pieces=pieces))
    return readings


def read_pairs(
    model: Model, pairs: Sequence[tuple[str, str]], overflow: Overflow, fields: tuple[str, str]
) -> list[Reading]:
    """Two texts as one input, of which the second may be cut or read in windows.

    `fields` is how the caller calls the first and the second ones.
    """
    firsts = plain(model, [first for first, _ in pairs], Overflow.REJECT)
    seconds = plain(model, [second for _, second in pairs], overflow)
    shape = Shape(model, model.tokenizer.frame(pair=True), overflow, long_second=True)
    readings = []
    for index, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
        wrong = uncut(model, first, f"{fields[0]}[{index}]")
        beside = replace(shape, other=first.ids)
        reading = fit(beside, second, f"{fields[1]}[{index}]")
        readings.append(Reading(error=wrong) if wrong else reading)
    return readings


def uncut(model: Model, part: Part, field: str) -> RequestError | None:
    """What is wrong with a text that has to be kept whole beside another one."""
    shape = Shape(model, model.tokenizer.frame(pair=True), Overflow.REJECT)
    return fit(shape, part, field).error


def plain(model: Model, texts: Sequence[str], overflow: Overflow) -> list[Part]:
    """Texts as tokens without special ones; far too long ones are not read to their end."""
    frame, most = model.tokenizer.frame(), bound(model, overflow)
    results = model.tokenizer.encode([text[:most] for text in texts])
    return [
        Part(
            result.tokens.ids[len(frame.front) : len(result.tokens) - len(frame.back)],
            whole=len(text) <= most,
            characters=len(text),
        )
        for text, result in zip(texts, results, strict=True)
    ]


def placed(model: Model, text: str, overflow: Overflow) -> tuple[Part, Pieces]:
    """A text as tokens without special ones, with their places."""
    most = bound(model, overflow)
    pieces = model.tokenizer.pieces(text[:most], special=False)
    return Part(pieces.ids, len(text) <= most, len(text)), pieces


def bound(model: Model, overflow: Overflow) -> int:
    """Characters up to which a text is worth being tokenized."""
    once = model.max_length * LONGEST_TOKEN
    return max(once, MOST_CHARACTERS) if overflow is Overflow.WINDOW else once


def empty(field: str) -> Reading:
    """The reading of an input without a character."""
    return Reading(error=InvalidRequest([Violation(field, "must not be empty")]))


def fit(shape: Shape, part: Part, field: str) -> Reading:
    """A text within the model's length, by the policy for those that are longer."""
    fits = len(part.ids) <= shape.room and part.whole
    error = _wrong(shape, part, field) or (None if fits else _unfit(shape, part, field))
    if error is not None:
        return Reading(error=error)
    places = [(0, min(len(part.ids), shape.room))]
    if shape.overflow is Overflow.WINDOW:
        places = cuts(len(part.ids), shape.room)
    windows = tuple(shape.window(part, start, stop) for start, stop in places)
    return Reading(windows, truncated=not fits and shape.overflow is Overflow.TRUNCATE)


def _wrong(shape: Shape, part: Part, field: str) -> InvalidRequest | None:
    """What is wrong with an input whatever is done about its length."""
    highest = max(max(part.ids, default=0), max(shape.other, default=0))
    if highest >= shape.model.vocabulary:
        return unknown_token(highest, field)
    if not part.ids and not shape.other and not shape.frame.count:
        return InvalidRequest([Violation(field, "has no token that the model knows")])
    return None


def _unfit(shape: Shape, part: Part, field: str) -> InvalidRequest | None:
    """Why an input that does not fit cannot be cut or read in windows either."""
    model, room = shape.model, shape.room
    count = len(part.ids) + len(shape.other) + shape.frame.count
    described = ""
    if shape.overflow is Overflow.REJECT and part.whole:
        described = f"{count} tokens are more than the {model.max_length}"
    elif shape.overflow is Overflow.REJECT:
        described = f"{part.characters} characters are far more than the {model.max_length} tokens"
    elif room < min(LEAST_ROOM, model.max_length - shape.frame.count):
        described = f"its other text leaves {max(0, room)} tokens of the {model.max_length}"
    elif shape.overflow is Overflow.WINDOW and not part.whole:
        described = f"{part.characters} characters are too many for windows of {model.max_length}"
    elif shape.overflow is Overflow.WINDOW and len(cuts(len(part.ids), room)) > MOST_WINDOWS:
        described = f"{count} tokens are more than {MOST_WINDOWS} windows of the {model.max_length}"
    return too_long(model, described, field, count) if described else None
