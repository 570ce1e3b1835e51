"""Places of tokens in a text, and the words that they make."""

import pytest

from lepton_worker.backends.places import origins, word_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", [0]), ("aB", [0, 1, 2]), ("İa", [0, 0, 1, 2]), ("aİİ", [0, 1, 1, 2, 2, 3])],
)
def test_origins(text: str, expected: list[int]) -> None:
    assert len(expected) == len(text.lower()) + 1
    assert origins(text) == expected


@pytest.mark.parametrize(
    ("text", "starts", "unknown", "expected"),
    [
        ("boats lie", [0, 3, 6, 8], "0000", [0, 0, 1, 1]),
        ("boats lie", [None, 0, 3, 5, None], "00000", [None, 0, 0, 1, None]),
        ("boats\nlie", [0, 3, 6, 8], "0000", [0, 0, 1, 1]),
        ("boats, lie", [0, 5, 7], "000", [0, 0, 1]),
        ("boats", [0, 2, 4], "010", [0, 1, 1]),
        ("a 🎉", [0, 2, 2, 2], "0000", [0, 1, 1, 1]),
        ("🎉a", [0, 0, 0, 1], "0000", [0, 0, 0, 0]),
        ("天气ok", [0, 1, 2, 3], "0000", [0, 1, 1, 1]),
        ("", [], "", []),
    ],
)
def test_words(
    text: str, starts: list[int | None], unknown: str, expected: list[int | None]
) -> None:
    assert word_numbers(text, starts, [mark == "1" for mark in unknown]) == expected
