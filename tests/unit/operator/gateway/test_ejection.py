"""Workers whose calls fail get none for a while, but never all of them at once."""

import pytest

from lepton_operator.gateway.ejection import LONGEST_SECONDS, Record, admitted


def _after(*events: float | None) -> Record:
    """A failure at each time given, a success for None."""
    record = Record()
    for at in events:
        record = record.succeeded() if at is None else record.failed(at)
    return record


@pytest.mark.parametrize(
    ("events", "until"),
    [
        pytest.param((10, 10), 0, id="two failures"),
        pytest.param((10, 10, None, 10, 10), 0, id="a success between"),
        pytest.param((10, 10, 10), 11, id="three in a row"),
        pytest.param((10, 10, 10, 10.5, 10.9), 11, id="late failures of the same loss"),
        pytest.param((10, 10, 10, 12), 14, id="the trial fails"),
        pytest.param((10, 10, 10, 12, 15), 19, id="and fails again"),
        pytest.param((10, 10, 10, None), 0, id="an answer ends it"),
    ],
)
def test_failures_in_a_row_eject_for_longer_each_time(
    events: tuple[float | None, ...], until: float
) -> None:
    assert _after(*events).until == until


def test_an_ejection_has_a_longest_time() -> None:
    record, now = Record(), 0.0
    for _ in range(40):
        record = record.failed(now)
        now = max(now, record.until)
    assert record.failed(now).until - now == LONGEST_SECONDS


@pytest.mark.parametrize(
    ("until", "now", "admits"),
    [
        pytest.param({}, 5, "abcd", id="none"),
        pytest.param({"b": 9}, 5, "acd", id="one"),
        pytest.param({"b": 9}, 9, "abcd", id="its time is over"),
        pytest.param({"a": 7, "b": 9, "c": 8}, 5, "ad", id="at most half"),
        pytest.param({"a": 7, "b": 9, "c": 8, "d": 6}, 5, "ad", id="all fail"),
    ],
)
def test_ejected_workers_get_no_calls_unless_most_are(
    until: dict[str, float], now: float, admits: str
) -> None:
    records = {address: Record(3, 1, end) for address, end in until.items()}
    assert "".join(admitted("abcd", records, now)) == admits


def test_the_only_worker_is_never_ejected() -> None:
    assert admitted(["a"], {"a": Record(3, 1, 9.0)}, 5.0) == ["a"]
