"""What is learned from steps and from texts that ended."""

import random

import pytest

from lepton_worker.scheduler.costs import FINISHED, TRUSTED, Costs, Work, non_negative

OVERHEAD, PREFILL, DECODE = 0.01, 0.0002, 0.001


def true_seconds(prefill: int, decode: int, slower: float = 1.0) -> float:
    return slower * (OVERHEAD + PREFILL * prefill + DECODE * decode)


def a_step(rng: random.Random) -> tuple[int, int]:
    return rng.choice([0, 0, 64, 256]), rng.randint(1, 16)


def fitted(
    rng: random.Random,
    steps: int,
    noise: float = 0.0,
    costs: Costs | None = None,
    slower: float = 1,
) -> Costs:
    costs = costs or Costs()
    for _ in range(steps):
        prefill, decode = a_step(rng)
        seconds = true_seconds(prefill, decode, slower) * (1 + noise * rng.uniform(-1, 1))
        costs.observe(prefill, decode, seconds)
        costs.rates()
    return costs


def test_nothing_is_said_before_there_were_steps() -> None:
    costs = Costs()
    assert costs.rates() is None
    assert costs.rate is None
    assert costs.seconds_for(100, 10) == 0
    fitted(random.Random(1), TRUSTED - 1, costs=costs)
    assert costs.rates() is None
    fitted(random.Random(1), 1, costs=costs)
    assert costs.rates() is not None


def test_steps_of_nothing_teach_nothing() -> None:
    costs = Costs()
    for _ in range(100):
        costs.observe(0, 0, 1.0)
        costs.observe(5, 5, 0.0)
    assert costs.rates() is None


def test_the_three_costs_are_found() -> None:
    rates = fitted(random.Random(2), 100).rates()
    assert rates is not None
    assert rates.overhead == pytest.approx(OVERHEAD, rel=0.01)
    assert rates.prefill == pytest.approx(PREFILL, rel=0.01)
    assert rates.decode == pytest.approx(DECODE, rel=0.01)
    assert rates.seconds_for(100, 10) == pytest.approx(true_seconds(100, 10), rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_noise_averages_out(seed: int) -> None:
    costs = fitted(random.Random(seed), 200, noise=0.2)
    for prefill, decode in [(0, 1), (0, 16), (256, 8)]:
        expected = true_seconds(prefill, decode)
        assert costs.seconds_for(prefill, decode) == pytest.approx(expected, rel=0.15)


def test_one_pause_of_the_machine_changes_little() -> None:
    rng = random.Random(4)
    costs = fitted(rng, 100)
    costs.observe(0, 8, 100 * true_seconds(0, 8))
    assert costs.seconds_for(0, 8) == pytest.approx(true_seconds(0, 8), rel=0.3)
    fitted(rng, 60, costs=costs)
    assert costs.seconds_for(0, 8) == pytest.approx(true_seconds(0, 8), rel=0.05)


@pytest.mark.parametrize("slower", [3.0, 0.2, 20.0])
def test_a_lasting_change_comes_through(slower: float) -> None:
    rng = random.Random(5)
    costs = fitted(rng, 300)
    fitted(rng, 300, costs=costs, slower=slower)
    assert costs.seconds_for(64, 8) == pytest.approx(true_seconds(64, 8, slower), rel=0.1)


def test_what_does_not_occur_for_long_is_not_forgotten() -> None:
    costs = fitted(random.Random(6), 100)
    for _ in range(2000):
        costs.observe(0, 4, true_seconds(0, 4))
        costs.rates()
    assert costs.seconds_for(256, 4) == pytest.approx(true_seconds(256, 4), rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_no_cost_is_negative(seed: int) -> None:
    rng, costs = random.Random(seed), Costs()
    for _ in range(300):  # more tokens seem to take less time
        prefill, decode = rng.randint(0, 100), rng.randint(0, 8)
        costs.observe(prefill, decode, 1 / (1 + prefill + decode))
        rates = costs.rates()
        if rates is not None:
            assert min(rates.overhead, rates.prefill, rates.decode) >= 0


def test_the_rate_is_tokens_by_time() -> None:
    costs = Costs()
    for _ in range(100):
        costs.observe(30, 10, 0.5)
    assert costs.rate == pytest.approx(80)


def test_a_text_is_expected_to_be_as_long_as_three_of_four() -> None:
    costs = Costs()
    assert costs.expected_new(500) == 500
    for length in (10, 20, 30, 40):
        costs.finished(length)
    assert costs.expected_new(500) == 30
    assert costs.expected_new(25) == 25
    rates = fitted(random.Random(1), 10, costs=costs).rates()
    assert rates is not None
    assert (rates.expected_new(500), rates.expected_new(25)) == (30, 25)
    for _ in range(FINISHED):
        costs.finished(7)
    assert costs.expected_new(500) == 7


def test_work_adds_up() -> None:
    assert Work(1, 2) + Work(3, 4) - Work(2, 2) == Work(2, 4)


@pytest.mark.parametrize("seed", range(20))
def test_the_non_negative_solution_is_the_best(seed: int) -> None:
    """Karush, Kuhn and Tucker: the slope is zero where w is not, and nowhere negative."""
    rng = random.Random(seed)
    rows = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(5)]
    products = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    moments = [rng.uniform(-1, 1) for _ in range(3)]
    solution = non_negative(products, moments)
    slopes = [sum(products[i][j] * solution[j] for j in range(3)) - moments[i] for i in range(3)]
    for value, slope in zip(solution, slopes, strict=True):
        assert value >= 0
        assert slope > -1e-9
        assert value == 0 or abs(slope) < 1e-9


def test_what_was_never_seen_costs_nothing() -> None:
    assert non_negative([[2, 0, 4], [0, 0, 0], [4, 0, 9]], [2, 0, 5]) == [0, 0, 5 / 9]
