"""Which classes are refused, and when."""

import pytest

from lepton_worker.scheduler.overload import OverloadGuard


def refused(guard: OverloadGuard, classes: tuple[int, ...] = (0, 1, 2, 3)) -> list[int]:
    return [priority for priority in classes if guard.refuses(priority)]


@pytest.mark.parametrize(
    ("waits", "expected"),
    [
        ([], []),
        ([0.0] * 40, []),
        ([5.0] * 5, []),  # not for a whole interval yet
        ([5.0] * 7, [3]),
        ([5.0] * 12, [2, 3]),
        ([5.0] * 17, [1, 2, 3]),
        ([0.5] * 6 + [5.0] * 7, [3]),  # after quiet times as well
        ([5.0] * 40, [1, 2, 3]),  # never the best
        ([5.0] * 8 + [0.5], []),  # one short wait ends it
        ([5.0, 0.5, 5.0, 5.0, 5.0, 5.0], []),  # one short wait in the interval
        ([5.0] * 5 + [0.5] + [5.0] * 4, []),
    ],
)
def test_an_interval_without_a_short_wait_refuses_one_class_more(
    waits: list[float], expected: list[int]
) -> None:
    guard = OverloadGuard(target=1.0, interval=0.5)
    for step, wait in enumerate(waits):
        guard.observe(wait, {0: 1, 2: 4, 1: 1, 3: 9}, step / 10)
    assert refused(guard) == expected


def test_after_a_pause_one_long_wait_refuses_nobody() -> None:
    guard = OverloadGuard()
    guard.observe(0.0, [0, 1], 0)
    guard.observe(60.0, [0, 1], 1000)
    assert refused(guard) == []


def test_one_class_alone_is_never_refused() -> None:
    guard = OverloadGuard()
    for step in range(100):
        guard.observe(60.0, [4], step)
    assert not guard.refuses(4)


def test_a_refused_class_stays_refused_when_the_last_of_it_has_left() -> None:
    guard = OverloadGuard()
    for step in range(4):
        guard.observe(60.0, [0, 4] if step < 2 else [0], step)
    assert refused(guard, (0, 3, 4, 5)) == [4, 5]
