"""The queue depth of a model out of what its workers said, and when it is not known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

LIFETIME = 10.0
"""Seconds for which what a worker said last counts."""


@dataclass(frozen=True)
class Source:
    """One worker, as the EndpointSlices name it.

    A `ready` one has to answer. Any other (loading, failing its probe, terminating) is counted
    while it answers, and missed by nobody when it does not.
    """

    id: str
    name: str
    address: str
    ready: bool


@dataclass(frozen=True)
class Reading:
    """What one source said last; times are those of the question, on a monotonic clock."""

    depth: int = 0
    at: float | None = None
    failure: str = ""
    """Why the newest question got no answer; empty when it got one."""

    def answered(self, waiting: int, running: int, at: float) -> "Reading":
        """After an answer. A worker that started anew replaces what its predecessor said."""
        if self.at is not None and at < self.at:
            return self
        return Reading(depth=max(0, waiting) + max(0, running), at=at)

    def failed(self, why: str) -> "Reading":
        """After a question without an answer; what was said before keeps its age."""
        return replace(self, failure=why or "no answer")


@dataclass(frozen=True)
class Depth:
    """Requests in hand of all workers of a model; `age` in seconds is that of the oldest part."""

    value: int
    age: float


@dataclass(frozen=True)
class Unknown:
    """The queue depth cannot be told; `reason` names the culprit and is shown by the HPA."""

    reason: str


def depth(
    sources: Iterable[Source], readings: Mapping[str, Reading], now: float
) -> Depth | Unknown:
    """Sum of what the sources said, each counted once; unknown rather than too small."""
    sources = list(sources)
    ready = [source for source in sources if source.ready]
    if not ready:
        return Unknown(f"none of its {len(sources)} workers is ready" if sources else "no workers")
    silent = [
        f"worker {source.name} ({source.address}) {complaint}"
        for source in ready
        if (complaint := _complaint(readings.get(source.id, Reading()), now))
    ]
    if silent:
        rest = f"; and {len(silent) - 1} more" if len(silent) > 1 else ""
        return Unknown(silent[0] + rest)
    counted = [
        (reading.depth, now - reading.at)
        for source in sources
        if (reading := readings.get(source.id, Reading())).at is not None
        and (source.ready or (not reading.failure and now - reading.at <= LIFETIME))
    ]
    return Depth(value=sum(part for part, _ in counted), age=max(age for _, age in counted))


def _complaint(reading: Reading, now: float) -> str | None:
    """Why a ready source does not count; None when it does."""
    cause = f": {reading.failure}" if reading.failure else ""
    if reading.at is None:
        return f"has not answered yet{cause}"
    if now - reading.at > LIFETIME:
        return f"answered last {now - reading.at:.0f} s ago{cause}"
    return None
