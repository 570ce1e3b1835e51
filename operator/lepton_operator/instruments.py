"""What the operator counts of itself, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Instruments:
    """One set of counters for one process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._passes = Histogram(
            "lepton_operator_reconcile_duration_seconds",
            "Duration of passes over a model, by result: ok, obstacle, gone, error.",
            ["result"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._errors = Counter(
            "lepton_operator_reconcile_errors_total",
            "Passes that failed and are tried again.",
            registry=self._registry,
        )
        self._calls = Counter(
            "lepton_operator_api_requests_total",
            "Requests to the API server but for watches; code 0 where no answer came.",
            ["verb", "resource", "code"],
            registry=self._registry,
        )
        self.queue = Gauge(
            "lepton_operator_queue_length",
            "Models that wait for a pass or are in one.",
            registry=self._registry,
        )
        self.models = Gauge(
            "lepton_operator_models", "LeptonModels that are looked after.", registry=self._registry
        )

    def passed(self, seconds: float, result: str) -> None:
        """A pass has ended."""
        self._passes.labels(result).observe(seconds)
        if result == "error":
            self._errors.inc()

    def called(self, verb: str, resource: str, code: int) -> None:
        """A request to the API server has ended."""
        self._calls.labels(verb, resource, str(code)).inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
