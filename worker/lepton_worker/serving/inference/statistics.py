"""What the requests of this service cost, since the worker's start."""

import time
from dataclasses import dataclass, field
from typing import Any

from lepton_worker.metrics import Metrics
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.answer import Answer

STEPS = "lepton_step_duration_seconds_count"
"""The metric that counts steps of the engine."""


@dataclass
class _Total:
    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    @property
    def shown(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass
class Statistics:
    """Counts and nanoseconds; the time of a whole stream's request counts once, at its end."""

    rows: int = 0
    last_ms: int = 0
    totals: dict[str, _Total] = field(
        default_factory=lambda: {
            name: _Total() for name in ("success", "fail", "queue", "compute_infer")
        }
    )

    def answered(self, answer: Answer, ns: int) -> None:
        """A request was answered, `ns` after it came."""
        self.rows += answer.rows
        self.totals["success"].add(ns)
        self.totals["queue"].add(answer.spent.queue)
        self.totals["compute_infer"].add(max(0, answer.spent.total - answer.spent.queue))
        self.last_ms = time.time_ns() // 1_000_000

    def failed(self, ns: int) -> None:
        """A request got an error."""
        self.totals["fail"].add(ns)
        self.last_ms = time.time_ns() // 1_000_000

    def message(self, name: str, metrics: Metrics) -> Any:
        """As a ModelStatisticsResponse."""
        steps = metrics.registry.get_sample_value(STEPS, {"model": name}) or 0
        answer = messages.StatisticsResponse()
        answer.model_stats.add(
            name=name,
            version=messages.VERSION,
            last_inference=self.last_ms,
            inference_count=self.rows,
            execution_count=int(steps),
            inference_stats={name: total.shown for name, total in self.totals.items()},
        )
        return answer
