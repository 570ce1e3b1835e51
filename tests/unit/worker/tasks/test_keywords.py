"""Word groups of a text, and the choice among them."""

import numpy as np
import pytest

from lepton_worker.tasks.keywords import MOST_CANDIDATES, candidates, choose
from lepton_worker.tasks.stop_words import LISTS, stop_words
from lepton_worker.tasks.words import whole_words, words


def groups(text: str, max_words: int) -> set[str]:
    return {item.text for item in candidates(text, max_words)}


@pytest.mark.parametrize(
    ("text", "max_words", "expected"),
    [
        ("The grey water", 1, {"grey", "water"}),
        ("The grey water", 2, {"grey", "water", "grey water"}),
        ("grey, water", 2, {"grey", "water"}),
        ("The bread of the bakers", 4, {"bread", "bakers", "bread of the bakers"}),
        ("Der Hund und die Katze", 3, {"Hund", "Katze"}),
        ("Water, water, WATER", 1, {"Water"}),
        ("e-mail isn't 42 x", 1, {"e-mail", "isn't"}),
        ("3 boats in 2024", 2, {"boats"}),
        ("天气很好", 1, {"天气", "气很", "很好"}),
        ("天气的", 1, {"天气"}),
        ("", 2, set()),
        ("and of the", 2, set()),
        ("🎉 …", 2, set()),
    ],
)
def test_candidates(text: str, max_words: int, expected: set[str]) -> None:
    assert groups(text, max_words) == expected


def test_candidates_stand_where_they_say_the_frequent_ones_first() -> None:
    text = "Boats and harbour boats, 🎉 the old boats"
    found = candidates(text, 2)
    assert found[0].text == "Boats"
    assert all(text[item.start : item.end] == item.text for item in found)
    many = candidates(" ".join(f"word{chr(97 + n % 26)}{n}" for n in range(900)), 1)
    assert len(many) == MOST_CANDIDATES
    assert many[0].text == "worda0"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the boats of the harbour", "en"),
        ("die Boote und der Hafen", "de"),
        ("les bateaux dans le port", "fr"),
        ("los barcos en el puerto y las olas", "es"),
        ("gli amici della casa sono nella città", "it"),
        ("het huis en een boot", "nl"),
        ("os barcos não são do porto", "pt"),
    ],
)
def test_stop_words_are_those_of_the_texts_language(text: str, language: str) -> None:
    assert stop_words(text.split()) == LISTS[language]
    assert stop_words(["harbour", "boats"]) == frozenset()


VECTORS = [
    np.array(row, np.float32) for row in ([1, 0, 0], [0.99, 0.1, 0], [0.5, 0, 0.8], [-1, 0, 0])
]


@pytest.mark.parametrize(
    ("diversity", "top_k", "expected"),
    [(0.0, 3, [0, 1, 2]), (0.5, 3, [0, 2, 1]), (0.0, 9, [0, 1, 2, 3]), (0.5, 0, [])],
)
def test_choice_weighs_nearness_against_repetition(
    diversity: float, top_k: int, expected: list[int]
) -> None:
    whole = np.array([2, 0, 0.2], np.float32)
    chosen = choose(whole, VECTORS, top_k, diversity)
    assert [place for place, _ in chosen] == expected
    for place, score in chosen:
        vector = VECTORS[place]
        cosine = whole @ vector / np.linalg.norm(whole) / np.linalg.norm(vector)
        assert score == pytest.approx(float(cosine))
    assert choose(whole, [], 3, 0.5) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("Viktor's e-mail, now.", ["Viktor's", "e-mail", "now"]),
        ("naïve Привет", ["naïve", "Привет"]),
        ("GPT模型 ok", ["GPT", "模", "型", "ok"]),
        ("- ' 🎉", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in words(text)] == expected


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("three boats", (2, 4), (0, 5)),
        ("three boats", (0, 7), (0, 11)),
        ("three boats", (5, 5), (5, 5)),
        ("3.14, four", (2, 4), (2, 4)),
        ("模型模型", (1, 2), (1, 2)),
    ],
)
def test_whole_words(text: str, span: tuple[int, int], expected: tuple[int, int]) -> None:
    assert whole_words(text, *span) == expected
