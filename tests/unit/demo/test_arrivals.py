"""When requests arrive."""

from itertools import pairwise

import pytest

from lepton_demo.arrivals import Concurrency, Poisson


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert list(Poisson(5, seed=3).offsets(20)) == list(Poisson(5, seed=3).offsets(20))
    assert list(Poisson(5, seed=3).offsets(20)) != list(Poisson(5, seed=4).offsets(20))


def test_arrivals_are_ordered_within_the_time_and_as_many_as_the_rate_says() -> None:
    offsets = list(Poisson(50, seed=1).offsets(100))
    assert offsets == sorted(offsets)
    assert offsets[0] > 0
    assert offsets[-1] < 100
    assert len(offsets) == pytest.approx(5000, rel=0.05)


def test_gaps_vary_as_much_as_they_last() -> None:
    """An even spacing would never make a queue; a Poisson stream does."""
    offsets = [0.0, *Poisson(10, seed=2).offsets(1000)]
    gaps = [later - earlier for earlier, later in pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_a_shape_without_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="rate must be above 0"):
        list(Poisson(0).offsets(1))
    with pytest.raises(ValueError, match="callers must be at least 1"):
        Concurrency(0)
