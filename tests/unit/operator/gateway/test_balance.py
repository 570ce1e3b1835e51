"""Calls go where there is room: to the less loaded of two, or to the worker that knows them."""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from lepton_operator.gateway.balance import PREFIX_BOUND, Worker, by_affinity, least_of_two


def _draws(*numbers: int) -> Callable[[int], int]:
    rest: Iterator[int] = iter(numbers)

    def draw(below: int) -> int:
        number = next(rest)
        assert number < below
        return number

    return draw


def _worker(name: str, outstanding: int = 0, capacity: int = 8) -> Worker:
    return Worker(name, capacity, outstanding)


@pytest.mark.parametrize(
    ("outstanding", "reported", "reported_own", "work"),
    [
        pytest.param(3, 0, 0, 3, id="own calls, no report yet"),
        pytest.param(3, 5, 3, 5, id="two of another gateway"),
        pytest.param(1, 5, 3, 3, id="two of ours have ended since the report"),
        pytest.param(4, 0, 2, 4, id="a worker that started anew"),
    ],
)
def test_each_call_in_flight_is_counted_once(
    outstanding: int, reported: int, reported_own: int, work: int
) -> None:
    assert Worker("a", 8, outstanding, reported, reported_own).work == work


@pytest.mark.parametrize(
    ("workers", "draws", "chosen"),
    [
        pytest.param([], (), None, id="no workers"),
        pytest.param([_worker("a", 8)], (), None, id="no room"),
        pytest.param([_worker("a", 3)], (0,), "a", id="only one"),
        pytest.param([_worker("a", 8), _worker("b", 7)], (0,), "b", id="only one with room"),
        pytest.param([_worker("a", 3), _worker("b", 2)], (0, 0), "b", id="less loaded"),
        pytest.param([_worker("a", 3), _worker("b", 3)], (1, 0), "b", id="tie: first drawn"),
        pytest.param(
            [_worker("a", 0), _worker("b", 5), _worker("c", 3)],
            (1, 1),
            "c",
            id="not the best of all",
        ),
        pytest.param(
            [_worker("a", 3, capacity=4), _worker("b", 6, capacity=16)], (0, 0), "b", id="by share"
        ),
        pytest.param([_worker("a", 0, capacity=0)], (), None, id="a worker that takes nothing"),
    ],
)
def test_a_call_goes_to_the_less_loaded_of_two_workers_with_room(
    workers: list[Worker], draws: tuple[int, ...], chosen: str | None
) -> None:
    worker = least_of_two(workers, _draws(*draws))
    assert (worker and worker.address) == chosen


def test_two_choices_keep_the_longest_queue_shorter_than_one_choice_does() -> None:
    def longest(choices: int) -> int:
        random, load = Random(7), dict.fromkeys("abcdefghijklmnopqrst", 0)
        for _ in range(1000):
            workers = [_worker(name, count, 1000) for name, count in load.items()]
            if choices == 1:
                load[workers[random.randrange(len(workers))].address] += 1
            elif worker := least_of_two(workers, random.randrange):
                load[worker.address] += 1
        assert sum(load.values()) == 1000
        return max(load.values())

    assert longest(2) <= 50 + 3 < longest(1)


def test_a_key_keeps_its_worker_when_another_one_leaves() -> None:
    workers = [_worker(name) for name in "abcd"]
    for key in map(str, range(50)):
        home = by_affinity(workers, key, PREFIX_BOUND)
        assert home is not None
        left = [worker for worker in workers if worker == home or worker.address != "a"]
        assert by_affinity(left, key, PREFIX_BOUND) == home


def test_keys_spread_over_all_workers() -> None:
    workers = [_worker(name) for name in "abcd"]
    homes = [by_affinity(workers, str(key), PREFIX_BOUND) for key in range(400)]
    assert all(60 <= homes.count(worker) <= 140 for worker in workers)


def test_a_key_moves_on_from_a_worker_above_the_bound() -> None:
    homes = [_worker("a"), _worker("b")]
    home = by_affinity(homes, "k", PREFIX_BOUND)
    assert home is not None
    busy = [Worker(w.address, 8, 5 if w == home else 1) for w in homes]
    moved = by_affinity(busy, "k", PREFIX_BOUND)
    assert moved is not None
    assert moved.address != home.address
    kept = by_affinity(busy, "k", 2.0)
    assert kept is not None
    assert kept.address == home.address


def test_a_key_never_gets_more_than_a_workers_capacity() -> None:
    full = [_worker("a", 8), _worker("b", 8)]
    assert by_affinity(full, "k", PREFIX_BOUND) is None
    last = by_affinity([_worker("a", 8), _worker("b", 7)], "k", PREFIX_BOUND)
    assert last == _worker("b", 7)
    assert by_affinity([], "k", PREFIX_BOUND) is None


def test_a_bound_below_the_mean_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bound is 0\.9.*at least 1"):
        by_affinity([_worker("a")], "k", 0.9)
