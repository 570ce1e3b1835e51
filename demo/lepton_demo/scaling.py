"""The story of one load: samples over time, and the moments that matter in it. No clock, no I/O."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from lepton_demo.reading import Autoscaler, Stage


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment."""

    at: float
    queue: float | None
    """Requests in hand, from the metrics API; None when it does not know."""

    autoscaler: Autoscaler | None
    stages: Counter[Stage]

    @property
    def ready(self) -> int:
        """Workers that serve."""
        return self.stages[Stage.READY]

    @property
    def existing(self) -> int:
        """Pods that exist in any form, the terminating ones too."""
        return sum(count for stage, count in self.stages.items() if stage is not Stage.OVER)

    @property
    def desired(self) -> int | None:
        """Workers that the autoscaler wants."""
        return self.autoscaler.desired if self.autoscaler else None


@dataclass
class Story:
    """Samples of one load, oldest first, and when it began and ended."""

    workers_before: int
    load_start: float
    load_end: float | None = None
    samples: list[Sample] = field(default_factory=list)

    def risen(self, workers: int) -> bool:
        """Say whether that many workers serve."""
        return bool(self.samples) and self.samples[-1].ready >= workers

    def settled(self) -> bool:
        """Say whether only as many workers as before are left, and all of them serve."""
        if not self.samples:
            return False
        last = self.samples[-1]
        before = self.workers_before
        return last.ready == last.existing == before and last.desired in (before, None)

    def milestones(self) -> "Milestones":
        """When what happened, in seconds from the start of the load (or from its end)."""
        start, before = self.load_start, self.workers_before
        peak = max((sample.ready for sample in self.samples), default=0)
        return Milestones(
            queue_seen=self._first(start, lambda s: (s.queue or 0) > 0),
            decision=self._first(start, lambda s: (s.desired or 0) > before),
            new_pod=self._first(start, lambda s: s.existing > before),
            new_ready=self._first(start, lambda s: s.ready > before),
            peak=peak,
            peak_ready=self._first(start, lambda s: s.ready == peak > before),
            settled=self._settled_after(),
        )

    def _first(self, since: float, wanted: Callable[[Sample], bool]) -> float | None:
        moments = (sample.at for sample in self.samples if sample.at >= since and wanted(sample))
        moment = next(moments, None)
        return None if moment is None else moment - since

    def _settled_after(self) -> float | None:
        if self.load_end is None or not self.settled():
            return None
        return self.samples[-1].at - self.load_end


@dataclass(frozen=True)
class Milestones:
    """Seconds from the start of the load; None for what did not happen."""

    queue_seen: float | None
    decision: float | None
    """The autoscaler wants more workers."""

    new_pod: float | None
    new_ready: float | None
    peak: int
    """Most workers that served at once."""

    peak_ready: float | None
    settled: float | None
    """Seconds from the end of the load until only the workers from before were left."""
