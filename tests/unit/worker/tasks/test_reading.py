"""Inputs against the model's length, by each policy; bytes are tokens, 64 the longest input."""

import dataclasses

import pytest

from lepton_worker.errors import ContextLengthExceeded
from lepton_worker.model import Frame, Model
from lepton_worker.tasks import reading
from lepton_worker.tasks.reading import (
    Overflow,
    Part,
    Shape,
    fit,
    read_pairs,
    read_places,
    read_texts,
)

FRAME = Frame(front=((101, 0),), middle=((102, 0),), back=((102, 1),), segments=(0, 1), typed=True)


@pytest.mark.parametrize(
    ("length", "overflow", "windows", "truncated", "refused"),
    [
        (64, Overflow.REJECT, 1, False, False),
        (65, Overflow.REJECT, 0, False, True),
        (64, Overflow.TRUNCATE, 1, False, False),
        (65, Overflow.TRUNCATE, 1, True, False),
        (64, Overflow.WINDOW, 1, False, False),
        (65, Overflow.WINDOW, 2, False, False),
        (112, Overflow.WINDOW, 2, False, False),
        (113, Overflow.WINDOW, 3, False, False),
        (10_000, Overflow.REJECT, 0, False, True),
        (10_000, Overflow.TRUNCATE, 1, True, False),
        (49_168, Overflow.WINDOW, 1024, False, False),
        (49_169, Overflow.WINDOW, 0, False, True),
    ],
)
def test_too_long_is_refused_cut_or_read_in_windows(
    echo_model: Model, length: int, overflow: Overflow, windows: int, truncated: bool, refused: bool
) -> None:
    texts = ["short", "x" * length, ""]
    for read in (read_texts, read_places):
        short, long, empty = read(echo_model, texts, overflow, "inputs")
        assert (len(long.windows), long.truncated) == (windows, truncated)
        assert isinstance(long.error, ContextLengthExceeded) == refused
        assert all(len(window.tokens) <= 64 for window in long.windows)
        if refused:
            assert "inputs[1]: " in str(long.error)
        elif not truncated:
            covered = {n for item in long.windows for n in range(item.start, item.stop)}
            assert covered == set(range(length))
        assert [window.tokens.ids for window in short.windows] == [tuple(b"short")]
        assert str(empty.error) == "inputs[2]: must not be empty"
        assert not empty.windows


def test_texts_beyond_what_is_read_in_windows_are_not_read_at_all(
    echo_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_CHARACTERS", 9000)
    (long,) = read_texts(echo_model, ["x" * 9001], Overflow.WINDOW, "inputs")
    assert "9001 characters are too many for windows of 64" in str(long.error)
    (right,) = read_texts(echo_model, ["x" * 9000], Overflow.WINDOW, "inputs")
    assert right.error is None


def test_a_prefix_goes_in_front_of_what_is_not_empty(echo_model: Model) -> None:
    one, none = read_texts(echo_model, ["a", ""], Overflow.REJECT, "inputs", "to: ")
    assert one.windows[0].tokens.ids == tuple(b"to: a")
    assert none.error is not None


@pytest.mark.parametrize(
    ("first", "second", "overflow", "windows", "wrong"),
    [
        (10, 20, Overflow.REJECT, 1, ""),
        (10, 55, Overflow.REJECT, 0, "pairs[0]: 65 tokens"),
        (10, 55, Overflow.TRUNCATE, 1, ""),
        (10, 55, Overflow.WINDOW, 2, ""),
        (65, 5, Overflow.WINDOW, 0, "inputs[0]: 65 tokens"),
        (57, 7, Overflow.WINDOW, 1, ""),
        (57, 8, Overflow.WINDOW, 0, "pairs[0]: its other text leaves 7 tokens"),
        (57, 8, Overflow.TRUNCATE, 0, "pairs[0]: its other text leaves 7 tokens"),
    ],
)
def test_pairs(
    echo_model: Model, first: int, second: int, overflow: Overflow, windows: int, wrong: str
) -> None:
    pairs = [("a" * first, "b" * second)]
    (found,) = read_pairs(echo_model, pairs, overflow, ("inputs", "pairs"))
    assert len(found.windows) == windows
    assert str(found.error or "").startswith(wrong)
    assert (found.error is None) == (not wrong)
    for window in found.windows:
        assert window.tokens.ids[:first] == tuple(b"a") * first
        assert set(window.tokens.ids[first:]) == set(b"b")


def test_a_frame_goes_around_and_between(echo_model: Model) -> None:
    model = dataclasses.replace(echo_model, max_length=13, vocabulary=200)
    part = Part(tuple(range(1, 10)))
    shape = Shape(model, FRAME, Overflow.TRUNCATE, other=(8, 9))
    (window,) = fit(shape, part, "inputs[0]").windows
    assert window.tokens.ids == (101, 1, 2, 3, 4, 5, 6, 7, 8, 102, 8, 9, 102)
    assert window.tokens.types == (0,) * 10 + (1, 1, 1)
    assert (window.start, window.stop, window.offset) == (0, 8, 1)
    behind = dataclasses.replace(shape, long_second=True)
    (window,) = fit(behind, part, "inputs[0]").windows
    assert window.tokens.ids == (101, 8, 9, 102, 1, 2, 3, 4, 5, 6, 7, 8, 102)
    assert window.offset == 4


def test_pairs_that_are_to_be_cut_at_the_same_places(echo_model: Model) -> None:
    part = Part(tuple(range(100)))
    shape = Shape(echo_model, FRAME, Overflow.WINDOW, other=(8, 9), reserved=11)
    other = dataclasses.replace(shape, other=(8,) * 11)
    places = [(item.start, item.stop) for item in fit(shape, part, "inputs[0]").windows]
    assert places == [(0, 50), (38, 88), (76, 100)]
    assert places == [(item.start, item.stop) for item in fit(other, part, "inputs[0]").windows]


@pytest.mark.parametrize("ids", [((300,), ()), ((), (300,))])
def test_tokens_that_the_model_has_not_are_told(
    echo_model: Model, ids: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    shape = Shape(echo_model, Frame(), Overflow.REJECT, other=ids[1])
    found = fit(shape, Part(ids[0]), "inputs[3]")
    assert str(found.error) == "inputs[3]: has token 300, for which the model has no embedding"
    nothing = fit(Shape(echo_model, Frame(), Overflow.REJECT), Part(()), "inputs[3]")
    assert "no token that the model knows" in str(nothing.error)
