"""Prometheus metrics of the metrics API itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.roster import ModelKey


class Telemetry:
    """Counts and durations, told by those who cause them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        self._asked = Histogram(
            "lepton_metrics_collect_seconds",
            "Time a worker took to tell its load.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
            registry=registry,
        )
        self._silent = Counter(
            "lepton_metrics_collect_failures_total",
            "Questions to workers without an answer.",
            registry=registry,
        )
        self._requests = Counter(
            "lepton_metrics_requests_total",
            "Requests to the aggregated API by HTTP status.",
            ["code"],
            registry=registry,
        )
        self._restarts = Counter(
            "lepton_metrics_watch_failures_total",
            "Failed lists and watches by what was watched.",
            ["resource"],
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "lepton_metrics_certificate_expiry_timestamp_seconds",
            "When the serving certificate in use ends.",
            registry=registry,
        )
        self.conflict = Gauge(
            "lepton_metrics_api_conflict",
            "1 while the APIService belongs to another metrics API (MetricsAPIConflict).",
            registry=registry,
        )

    def asked(self, seconds: float, *, failed: bool) -> None:
        """One question to a worker ended."""
        self._asked.observe(seconds)
        if failed:
            self._silent.inc()

    def requested(self, code: int) -> None:
        """One request was answered."""
        self._requests.labels(str(code)).inc()

    def watch_failed(self, resource: str) -> Callable[[], None]:
        """What to call when a list or watch of this resource fails."""
        return self._restarts.labels(resource).inc


@dataclass(frozen=True)
class DepthCollector(Collector):
    """Queue depths and sources as they are when Prometheus asks."""

    models: Callable[[], Iterable[tuple[ModelKey, Depth | Unknown]]]
    sources: Callable[[], Iterable[bool]]
    """One value for each worker: whether it is ready."""

    def collect(self) -> Iterator[Metric]:
        """Metrics of this moment."""
        depths = GaugeMetricFamily(
            "lepton_queue_depth",
            "Requests in hand of all workers of a model; absent while it is unknown.",
            labels=["namespace", "model"],
        )
        unknown = 0
        for key, depth in self.models():
            if isinstance(depth, Depth):
                depths.add_metric([key.namespace, key.name], depth.value)
            else:
                unknown += 1
        yield depths
        yield GaugeMetricFamily(
            "lepton_metrics_models_unknown", "Models whose queue depth is unknown.", value=unknown
        )
        ready = list(self.sources())
        sources = GaugeMetricFamily("lepton_metrics_sources", "Workers in view.", labels=["ready"])
        sources.add_metric(["true"], sum(ready))
        sources.add_metric(["false"], len(ready) - sum(ready))
        yield sources
