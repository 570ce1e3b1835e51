"""Random numbers by seed and position."""

from lepton_worker.backends.sampling.uniform import fresh_seed, uniform


def test_only_seed_and_position_decide() -> None:
    assert uniform(7, 3) == uniform(7, 3)
    assert len({uniform(seed, place) for seed in range(-20, 20) for place in range(40)}) == 1600


def test_seed_and_position_do_not_run_together() -> None:
    assert uniform(1, 11) != uniform(11, 1)
    assert uniform(1, 23) != uniform(12, 3)


def test_the_numbers_stay_the_same_for_ever() -> None:
    """A caller who notes a seed finds the same text again with the next release."""
    found = [uniform(0, 0), uniform(0, 1), uniform(2**64 - 1, 100), uniform(-1, 0)]
    assert found == [
        0.8336885269740499,
        0.9459165357046844,
        0.9880459531326922,
        0.8507047773286044,
    ]


def test_the_numbers_are_spread_evenly() -> None:
    numbers = [uniform(seed, place) for seed in range(100) for place in range(100)]
    assert all(0 <= number < 1 for number in numbers)
    tenths = [sum(number * 10 // 1 == tenth for number in numbers) for tenth in range(10)]
    # Chi-square with 9 degrees of freedom: 27.9 is passed once in a thousand times.
    assert sum((count - 1000) ** 2 / 1000 for count in tenths) < 27.9


def test_fresh_seeds_differ() -> None:
    assert len({fresh_seed() for _ in range(10)}) == 10
