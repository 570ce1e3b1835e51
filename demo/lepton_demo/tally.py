"""What came of a load: counts and latencies. No clock; every moment is an argument."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float | None:
    """Smallest value that at least `share` (0 to 1) of them do not exceed; None of nothing."""
    if not values:
        return None
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


@dataclass(frozen=True)
class LoadReport:
    """A load that is over. Latencies are in seconds, of answered requests, as they ended."""

    sent: int
    answered: int
    failures: Mapping[str, int]
    """Requests without an answer, by gRPC status of their last attempt."""

    retries: int
    """Attempts beyond the first ones, answered or not."""

    by_target: Mapping[str, int]
    """Answered requests, by the address that answered."""

    latencies: tuple[float, ...]
    seconds: float

    @property
    def lost(self) -> int:
        """Requests that never got an answer."""
        return self.sent - self.answered

    @property
    def rate(self) -> float:
        """Answers each second."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0

    def latency(self, share: float) -> float | None:
        """Percentile of the latencies: 0.5 is the median."""
        return percentile(self.latencies, share)


class Tally:
    """Counts while a load runs; may be read at any moment."""

    def __init__(self) -> None:
        self.sent = 0
        self.retries = 0
        self.failures: Counter[str] = Counter()
        self.by_target: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._ends: list[float] = []

    @property
    def answered(self) -> int:
        """Requests that got their answer."""
        return len(self._latencies)

    @property
    def failed(self) -> int:
        """Requests that ended without an answer."""
        return self.failures.total()

    @property
    def open(self) -> int:
        """Requests on their way."""
        return self.sent - self.answered - self.failed

    def answer(self, target: str, arrival: float, now: float) -> None:
        """Count an answer to a request that was meant to arrive at `arrival`."""
        self.by_target[target] += 1
        self._latencies.append(now - arrival)
        self._ends.append(now)

    def since(self, moment: float) -> list[float]:
        """Latencies of the requests answered at or after a moment."""
        return self._latencies[bisect_left(self._ends, moment) :]

    def report(self, seconds: float) -> LoadReport:
        """Close the books after a load of that many seconds."""
        return LoadReport(
            sent=self.sent,
            answered=self.answered,
            failures=dict(self.failures),
            retries=self.retries,
            by_target=dict(self.by_target),
            latencies=tuple(self._latencies),
            seconds=seconds,
        )
