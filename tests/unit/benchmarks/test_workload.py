"""Lengths, arrivals and texts: seeded, and as they are described."""

import random
import statistics

import pytest

from lepton_bench.engine.words import lexicon, lines
from lepton_bench.engine.workload import (
    CHAT_ANSWERS,
    ENCODED,
    EVEN_PROMPTS,
    Item,
    Lengths,
    Writer,
    arrivals,
    prompts,
    texts,
    with_cancelled,
)


def letters(text: str) -> int:
    return len(text)


def test_words_are_different_and_the_same_for_a_seed() -> None:
    words = lexicon(500, seed=3)
    assert len(set(words)) == 500
    assert words == lexicon(500, seed=3)
    assert words != lexicon(500, seed=4)


def test_the_first_words_are_frequent() -> None:
    words = lexicon(50)
    said = " ".join(lines(words, 200, seed=1)).split()
    assert said.count(words[0]) > 5 * max(1, said.count(words[40]))


def test_lengths_keep_bounds_median_and_the_share_of_the_longest() -> None:
    dice = random.Random(1)
    drawn = [ENCODED.draw(dice) for _ in range(4000)]
    assert (min(drawn), max(drawn)) == (8, 510)
    assert 44 <= statistics.median(drawn) <= 54
    assert 0.05 <= drawn.count(510) / len(drawn) <= 0.08


def test_a_text_is_as_long_as_wanted_and_not_longer() -> None:
    writer = Writer(["ab", "abcd"], letters, seed=1)
    for wanted in (10, 50, 333):
        text, tokens = writer.text(wanted)
        assert tokens == len(text) + 1  # the space in front of the first word is taken off
        assert wanted - 5 < tokens <= wanted


def test_a_text_has_one_word_even_if_that_is_too_long() -> None:
    assert Writer(["abcdef"], letters, seed=1).text(2) == ("abcdef", 7)


def test_encoders_get_no_new_tokens_and_decoders_the_wanted_ones() -> None:
    writer = Writer(lexicon(50), letters, seed=1)
    assert {item.new_tokens for item in texts(writer, 5, ENCODED, seed=1)} == {0}
    assert {item.new_tokens for item in prompts(writer, 5, EVEN_PROMPTS, 7, seed=1)} == {7}
    drawn = {item.new_tokens for item in prompts(writer, 50, EVEN_PROMPTS, CHAT_ANSWERS, seed=1)}
    assert len(drawn) > 10


def test_a_share_of_the_callers_hangs_up_half_way() -> None:
    items = with_cancelled([Item("a", 1, 20)] * 10, share=0.3, seed=1)
    assert sorted(item.cancel_after or 0 for item in items) == [0] * 7 + [10] * 3


def test_arrivals_have_the_rate_and_are_the_same_for_a_seed() -> None:
    moments = arrivals(50, seconds=100, seed=2)
    assert moments == sorted(moments)
    assert moments == arrivals(50, seconds=100, seed=2)
    assert 4700 <= len(moments) <= 5300
    assert moments[-1] < 100


def test_no_arrivals_without_a_rate() -> None:
    with pytest.raises(ValueError, match="rate must be above 0"):
        arrivals(0, seconds=1, seed=1)


def test_a_length_without_spread_is_its_median() -> None:
    even = Lengths(median=30, sigma=0, low=1, high=100)
    assert even.draw(random.Random(1)) == 30
