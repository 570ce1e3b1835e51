"""What a soak run says of its samples."""

import random
from collections import Counter

import pytest

from lepton_bench.soak import Sample, report, request_of, slope


def test_slope_is_that_of_a_line() -> None:
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == pytest.approx(2.0)
    assert slope([(1.0, 7.0)]) == 0.0


def test_growth_is_taken_without_the_first_quarter() -> None:
    samples = [
        Sample(60.0 * minute, mib, 10 + minute // 40, 20)
        for minute, mib in enumerate([*range(100, 115), *[200.0] * 26])
    ]
    ends = Counter({"OK": 90, "CANCELLED": 8, "INTERNAL": 2})
    found = {figure.name: figure for figure in report(samples, ends)}
    growth = found["soak.rss_growth_mib_per_hour"].value
    assert growth is not None
    assert 100 < growth < 300
    flat = {figure.name: figure for figure in report(samples[16:], ends)}
    assert flat["soak.rss_growth_mib_per_hour"].value == 0
    assert found["soak.unexpected_ends"].value == 2
    assert found["soak.unexpected_ends"].of == 100
    assert found["soak.threads_gained"].value == 1
    assert found["soak.cancelled"].value == 8


def test_requests_are_the_same_for_the_same_numbers() -> None:
    assert request_of(random.Random(3)) == request_of(random.Random(3))
    assert request_of(random.Random(3)) != request_of(random.Random(4))
