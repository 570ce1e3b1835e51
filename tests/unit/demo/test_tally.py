"""Counting a load."""

import pytest

from lepton_demo.tally import Tally, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7.0], 0.99, 7.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.51, 3.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
    ],
)
def test_percentile_is_the_nearest_rank(
    values: list[float], share: float, expected: float | None
) -> None:
    assert percentile(values, share) == expected


def a_tally() -> Tally:
    """Four sent: two answered, one failed, one on its way."""
    tally = Tally()
    tally.sent = 4
    tally.answer("a:1", arrival=10.0, now=10.5)
    tally.answer("b:1", arrival=10.0, now=12.0)
    tally.failures["UNAVAILABLE"] += 1
    return tally


def test_what_is_neither_answered_nor_failed_is_on_its_way() -> None:
    assert a_tally().open == 1


def test_latency_counts_from_the_intended_arrival() -> None:
    assert a_tally().report(2).latencies == (0.5, 2.0)


def test_recent_latencies_are_those_that_ended_since() -> None:
    tally = a_tally()
    assert tally.since(10.5) == [0.5, 2.0]
    assert tally.since(10.6) == [2.0]
    assert tally.since(12.1) == []


def test_what_got_no_answer_is_lost() -> None:
    report = a_tally().report(4)
    assert (report.lost, report.rate) == (2, 0.5)
    assert report.by_target == {"a:1": 1, "b:1": 1}


def test_a_report_does_not_change_when_the_tally_goes_on() -> None:
    tally = a_tally()
    report = tally.report(2)
    tally.answer("a:1", 12, 13)
    tally.failures["INTERNAL"] += 1
    assert report.answered == 2
    assert report.failures == {"UNAVAILABLE": 1}
