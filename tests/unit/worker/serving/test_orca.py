"""Load reports: rates, utilization, intervals, and the trailer of a call."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from lepton_worker.engine.worker import Load
from lepton_worker.errors import RequestError, TaskNotServed
from lepton_worker.serving.calls import Call
from lepton_worker.serving.orca import (
    LEAST_UTILIZATION,
    LONGEST_INTERVAL,
    WINDOW_SECONDS,
    LoadReporter,
    Rate,
    Report,
    ReportRequest,
    interval,
    utilization,
)


class Clock:
    """A clock that goes as it is told."""

    def __init__(self) -> None:
        self.now = 100.5

    def __call__(self) -> float:
        return self.now


def load(waiting: int, running: int, most: int) -> Load:
    return Load(
        waiting=waiting,
        running=running,
        max_waiting=8,
        max_running=most,
        waiting_tokens=30,
        estimated_wait=0.0,
        cache_usage=0.25,
    )


@pytest.mark.parametrize(
    ("waiting", "running", "most", "expected"),
    [
        (0, 0, 4, LEAST_UTILIZATION),
        (0, 1, 4, 0.25),
        (0, 4, 4, 1.0),
        (6, 4, 4, 2.5),
        (0, 0, 0, 1.0),
        (0, 1, 1000, LEAST_UTILIZATION),
    ],
)
def test_utilization_is_never_nothing(
    waiting: int, running: int, most: int, expected: float
) -> None:
    assert utilization(load(waiting, running, most)) == expected


def test_a_rate_is_of_the_last_seconds() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.per_second() == 0
    for _ in range(4):
        rate.note()
    assert rate.per_second() == 4
    clock.now += 2
    assert rate.per_second() == 2
    clock.now += WINDOW_SECONDS - 3
    rate.note()
    assert rate.per_second() == pytest.approx(5 / (WINDOW_SECONDS - 1))
    clock.now += 2
    assert rate.per_second() == pytest.approx(1 / WINDOW_SECONDS)
    clock.now += 1000
    assert rate.per_second() == 0


def test_only_faults_of_the_server_count_against_it() -> None:
    reporter = LoadReporter(lambda: load(2, 3, 4), Clock())
    for code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", "UNAVAILABLE", "INTERNAL"):
        reporter.answered(code)
    report = reporter.report()
    assert (report.rps_fractional, report.eps) == (6, 2)
    assert report.application_utilization == 1.25
    assert dict(report.named_metrics) == {
        "requests_waiting": 2,
        "requests_running": 3,
        "waiting_tokens": 30,
        "cache_usage_ratio": 0.25,
    }


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (-5, 0, 1.0),
        (2, 500_000_000, 2.5),
        (2**60, 0, LONGEST_INTERVAL),
    ],
)
def test_intervals_have_bounds(seconds: int, nanos: int, expected: float) -> None:
    request = ReportRequest()
    request.report_interval.seconds = seconds
    request.report_interval.nanos = nanos
    assert interval(request) == expected
    assert interval(ReportRequest()) == 1.0


class Aborted(Exception):
    """The call has ended with a status."""


class FakeContext:
    """Notes the trailing metadata of a call."""

    def __init__(self) -> None:
        self.trailer: dict[str, Any] = {}
        self.sent: list[Any] = []

    def invocation_metadata(self) -> Any:
        return ()

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailer = dict(metadata)

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    async def write(self, message: Any) -> None:
        self.sent.append(message)

    async def abort(self, code: Any, text: str, metadata: Any) -> None:
        self.trailer = dict(metadata)
        raise Aborted

    def time_remaining(self) -> float | None:
        return None


async def unary(request: Any, context: Any) -> Any:
    return request


async def streaming(request: Any, context: Any) -> AsyncGenerator[Any, None]:
    yield request


async def refused(request: Any, context: Any) -> Any:
    raise TaskNotServed("not this one")


@pytest.mark.parametrize("kind", ["unary", "streaming", "refused"])
def test_a_call_ends_with_a_report_that_counts_it(kind: str) -> None:
    reporter = LoadReporter(lambda: load(0, 0, 4), Clock())
    context: Any = FakeContext()
    call = Call("/x", "", lambda code, reason, seconds: reporter.answered(code), reporter.trailer)
    handlers = {
        "unary": call.unary(unary),
        "streaming": call.stream(streaming),
        "refused": call.unary(refused),
    }

    async def answer() -> None:
        try:
            await handlers[kind]("asked", context)
        except (Aborted, RequestError):
            assert kind == "refused"

    asyncio.run(answer())
    report = Report.FromString(context.trailer["endpoint-load-metrics-bin"])
    assert report.rps_fractional == 1
    assert report.application_utilization == LEAST_UTILIZATION
    assert "x-request-id" in context.trailer
