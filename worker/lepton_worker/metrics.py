"""What a worker tells Prometheus. Set where it happens; names end in their unit."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Step(Protocol):
    """What a step of the engine is told by; see `engine.messages.Report`."""

    @property
    def seconds(self) -> float:
        """Of the backend."""

    @property
    def idle(self) -> float:
        """Seconds since the step before, although there was work."""

    @property
    def batch_size(self) -> int:
        """Texts and inputs."""

    @property
    def prefill_tokens(self) -> int:
        """Tokens read."""

    @property
    def decode_tokens(self) -> int:
        """Texts that went on."""

    @property
    def waiting_tokens(self) -> int:
        """Work that waits."""

    @property
    def evicted(self) -> int:
        """Texts that lost their slot, since the engine's start."""

    @property
    def cache_used(self) -> int:
        """Tokens with state."""

    @property
    def cache_tokens(self) -> int:
        """Most tokens with state; 0 without a bound."""


class Metrics:
    """All series of one worker, each with the label `model`, in a registry of their own."""

    def __init__(self, model: str, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lepton_{name}", text, ["model", *labels], registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            metric = Histogram(
                f"lepton_{name}", text, ["model"], registry=registry, buckets=buckets
            )
            return metric.labels(model)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lepton_{name}", text, ["model", *labels], registry=registry)

        self._model = model
        self._requests = counter("requests_total", "Requests answered, by status code", "code")
        self._rejected = counter(
            "requests_rejected_total", "Requests that got an error, by its reason", "reason"
        )
        self._waiting = gauge("requests_waiting", "Requests admitted and not taken up").labels(
            model
        )
        self._running = gauge("requests_running", "Requests in the engine").labels(model)
        self._load = gauge("model_load_seconds", "Time until the model served, by phase", "phase")
        self._build = Info("lepton_build", "Versions and what is served", registry=registry)
        self.prompt_tokens = counter("prompt_tokens_total", "Tokens received").labels(model)
        self.generated_tokens = counter("generated_tokens_total", "Tokens generated").labels(model)
        self.prefill_tokens = counter("prefill_tokens_total", "Tokens read by the model").labels(
            model
        )
        self._evictions = gauge("evictions", "Texts that lost their slot to a better class").labels(
            model
        )
        self.engine_restarts = counter("engine_restarts_total", "Engines replaced").labels(model)
        self.step_duration = histogram("step_duration_seconds", "One step of the backend")
        self.step_idle = counter(
            "step_idle_seconds_total", "Time between steps although there was work"
        ).labels(model)
        self.step_tokens = histogram("step_tokens", "Tokens computed in a step", BATCH)
        self._cache = gauge("cache_usage_ratio", "Share of the cache in use").labels(model)
        self._waiting_tokens = gauge("waiting_tokens", "Work that waits, in tokens").labels(model)
        self.request_duration = histogram("request_duration_seconds", "Acceptance to end")
        self.queue_duration = histogram("queue_duration_seconds", "Acceptance to the engine")
        self.first_token = histogram("time_to_first_token_seconds", "Acceptance to first token")
        self.batch_size = histogram("batch_size", "Requests that shared a step", BATCH)

    def stepped(self, report: "Step") -> None:
        """The engine has made a step."""
        self.batch_size.observe(report.batch_size)
        self.step_duration.observe(report.seconds)
        self.step_idle.inc(report.idle)
        self.step_tokens.observe(report.prefill_tokens + report.decode_tokens)
        self.prefill_tokens.inc(report.prefill_tokens)
        self._waiting_tokens.set(report.waiting_tokens)
        self._evictions.set(report.evicted)
        self._cache.set(report.cache_used / report.cache_tokens if report.cache_tokens else 0.0)

    def answered(self, code: str, reason: str = "") -> None:
        """A request has ended with a status code, and a reason unless it was answered."""
        self._requests.labels(self._model, code).inc()
        if reason:
            self._rejected.labels(self._model, reason).inc()

    def watch_queue(self, waiting: Callable[[], float], running: Callable[[], float]) -> None:
        """Read both gauges from these whenever they are scraped."""
        self._waiting.set_function(waiting)
        self._running.set_function(running)

    def loaded(self, phase: str, seconds: float) -> None:
        """A phase of the start has ended."""
        self._load.labels(self._model, phase).set(seconds)

    def build(self, facts: dict[str, str]) -> None:
        """Versions, device and the like."""
        self._build.info({"model": self._model, **facts})
