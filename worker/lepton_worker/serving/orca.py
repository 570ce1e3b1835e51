"""Load reports that gRPC clients balance by: Open Request Cost Aggregation (gRFC A51, A58, A64).

Each call has one in its trailing metadata, and OpenRcaService streams them. Clients with the policy
`weighted_round_robin` give a server calls in proportion to its rate by its utilization.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from lepton_worker.engine.worker import Load, Worker
from lepton_worker.serving.calls import Context
from lepton_worker.serving.private_pool import PrivatePool, decoded
from lepton_worker.serving.status import Metadata

SERVICE = "xds.service.orca.v3.OpenRcaService"
TRAILER_KEY = "endpoint-load-metrics-bin"

LEAST_UTILIZATION = 0.01
"""Reported of an idle worker: balancers take exactly 0 as "not known"."""

SHORTEST_INTERVAL, LONGEST_INTERVAL = 1.0, 3600.0
"""Seconds between two reports of a stream, whatever was asked for."""

WINDOW_SECONDS = 10
"""Over which rates are counted."""

FAULTS = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "DEADLINE_EXCEEDED"})
"""Status codes that speak against a server; others are its caller's doing."""

POOL = PrivatePool("orca")
Report = POOL.message("xds.data.orca.v3.OrcaLoadReport")
ReportRequest = POOL.message("xds.service.orca.v3.OrcaLoadReportRequest")


class Rate:
    """Events per second, over the seconds that are complete and the one that is not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._counts: deque[list[int]] = deque()

    def note(self) -> None:
        """One more."""
        second = int(self._clock())
        if not self._counts or self._counts[-1][0] != second:
            self._counts.append([second, 0])
            self._forget(second)
        self._counts[-1][1] += 1

    def per_second(self) -> float:
        """The rate now; a meter younger than its window divides by its age, 1 s at least."""
        now = self._clock()
        self._forget(int(now))
        age = min(float(WINDOW_SECONDS), max(1.0, now - self._begun))
        return sum(count for _, count in self._counts) / age

    def _forget(self, second: int) -> None:
        while self._counts and self._counts[0][0] <= second - WINDOW_SECONDS:
            self._counts.popleft()


class LoadReporter:
    """Counts calls and says how busy the worker is."""

    def __init__(
        self, load: Callable[[], Load], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._calls, self._faults = Rate(clock), Rate(clock)

    def answered(self, code: str) -> None:
        """A call to the model, or one request of a stream, has ended with a status code."""
        self._calls.note()
        if code in FAULTS:
            self._faults.note()

    def report(self) -> Any:
        """An OrcaLoadReport as of now."""
        load = self._load()
        return Report(
            application_utilization=utilization(load),
            rps_fractional=self._calls.per_second(),
            eps=self._faults.per_second(),
            named_metrics={
                "requests_waiting": load.waiting,
                "requests_running": load.running,
                "waiting_tokens": load.waiting_tokens,
                "cache_usage_ratio": load.cache_usage,
            },
        )

    def trailer(self) -> Metadata:
        """The report as trailing metadata of a call."""
        return ((TRAILER_KEY, self.report().SerializeToString()),)


def utilization(load: Load) -> float:
    """Requests in hand by those that run at once; a worker without a model has no room at all."""
    if not load.max_running:
        return 1.0
    return max(LEAST_UTILIZATION, (load.waiting + load.running) / load.max_running)


def reporter_of(worker: Worker) -> LoadReporter:
    """The reporter of a worker."""
    return LoadReporter(lambda: worker.load)


class OpenRcaServicer:
    """The service OpenRcaService."""

    def __init__(self, reporter: LoadReporter) -> None:
        self._reporter = reporter

    async def StreamCoreMetrics(self, data: bytes, context: Context) -> AsyncGenerator[Any, None]:
        """The report now, and again whenever the interval has passed."""
        pause = interval(decoded(ReportRequest, data))
        while True:
            yield self._reporter.report()
            await asyncio.sleep(pause)


def interval(request: Any) -> float:
    """Seconds between two reports."""
    asked = request.report_interval
    seconds: float = asked.seconds + asked.nanos / 1e9
    return min(LONGEST_INTERVAL, max(SHORTEST_INTERVAL, seconds))
