"""What a worker tells Prometheus. Set where it happens; names end in their unit."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


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
        self.request_duration = histogram("request_duration_seconds", "Acceptance to end")
        self.queue_duration = histogram("queue_duration_seconds", "Acceptance to the engine")
        self.first_token = histogram("time_to_first_token_seconds", "Acceptance to first token")
        self.batch_size = histogram("batch_size", "Requests that shared a step", BATCH)

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
