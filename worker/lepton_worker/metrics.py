"""What a worker tells Prometheus. Set where it happens; names end in their unit.

docs/reference/metrics.md lists every name; a test holds the two against each other.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics_core import Metric

from lepton_worker.limits import resident_bytes

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Read = Callable[[], float]
Kept = TypeVar("Kept", Counter, Gauge, Histogram)

CANCELLED = {"CANCELLED": "client", "DEADLINE_EXCEEDED": "deadline"}
"""Who ends a call before its answer is whole, by the status code that it ends with."""


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
    def drafted_tokens(self) -> int:
        """Tokens guessed ahead."""

    @property
    def accepted_tokens(self) -> int:
        """Tokens guessed ahead that became part of their texts."""

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
        self.model = model
        self._evicted = 0
        self._own: list[Counter | Gauge | Histogram] = []
        self._build = Info("lepton_build", "Versions and what is served", registry=registry)
        self._make_requests()
        self._make_tokens()
        self._make_engine()

    def _make_requests(self) -> None:
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self._requests = counter("requests_total", "Requests answered, by status code", "code")
        self._rejected = counter(
            "requests_rejected_total", "Requests that got an error, by its reason", "reason"
        )
        self._cancelled = counter(
            "requests_cancelled_total", "Requests ended before their whole answer, by whom", "by"
        )
        for by in (*CANCELLED.values(), "drain"):
            self._cancelled.labels(self.model, by)
        self._waiting = gauge("requests_waiting", "Requests admitted and not taken up")
        self._running = gauge("requests_running", "Requests in the engine")
        self._oldest = gauge("queue_oldest_seconds", "How long the oldest waiting request waits")
        self.request_duration = histogram("request_duration_seconds", "Acceptance to end")
        self.queue_duration = histogram("queue_duration_seconds", "Acceptance to the engine")

    def _make_tokens(self) -> None:
        counter, histogram = self._counter, self._histogram
        self.first_token = histogram("time_to_first_token_seconds", "Acceptance to first token")
        self.inter_token = histogram(
            "inter_token_latency_seconds", "Between two tokens of a text", TOKEN_SECONDS
        )
        self.output_token = histogram(
            "time_per_output_token_seconds",
            "Per token of a text behind its first one, mean of the text",
            TOKEN_SECONDS,
        )
        self._texts = counter("texts_finished_total", "Generated texts, by why they end", "reason")
        self.prompt_tokens = counter("prompt_tokens_total", "Tokens received").labels(self.model)
        self.generated_tokens = counter("generated_tokens_total", "Tokens generated").labels(
            self.model
        )
        self.prefill_tokens = counter(
            "prefill_tokens_total", "Tokens of prompts and inputs read by the model"
        ).labels(self.model)
        self._drafted = counter("drafted_tokens_total", "Tokens guessed ahead").labels(self.model)
        self._accepted = counter(
            "accepted_tokens_total", "Tokens guessed ahead that were right"
        ).labels(self.model)
        self._looked_up = counter(
            "cache_queried_tokens_total", "Tokens of prompts for which a cached state was sought"
        ).labels(self.model)
        self._cached = counter(
            "cached_tokens_total", "Tokens of prompts whose state was there"
        ).labels(self.model)

    def _make_engine(self) -> None:
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.batch_size = histogram("batch_size", "Requests that shared a step", BATCH)
        self.step_duration = histogram("step_duration_seconds", "One step of the backend")
        self.step_tokens = histogram("step_tokens", "Tokens computed in a step", BATCH)
        self.step_idle = counter(
            "step_idle_seconds_total", "Time between steps although there was work"
        ).labels(self.model)
        self._waiting_tokens = gauge("waiting_tokens", "Work that waits, in tokens").labels(
            self.model
        )
        self._cache = gauge("cache_usage_ratio", "Share of the cache in use").labels(self.model)
        self._evictions = counter("evictions_total", "Texts that lost their slot to others").labels(
            self.model
        )
        self.engine_restarts = counter("engine_restarts_total", "Engines replaced").labels(
            self.model
        )
        self._load = gauge("model_load_seconds", "Phases of the start", "phase")
        self._memory = gauge("process_resident_memory_bytes", "Resident memory", "process")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._kept(
            Counter(f"lepton_{name}", text, ["model", *labels], registry=self.registry)
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return self._kept(Gauge(f"lepton_{name}", text, ["model", *labels], registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        metric = Histogram(
            f"lepton_{name}", text, ["model"], registry=self.registry, buckets=buckets
        )
        return self._kept(metric).labels(self.model)

    def _kept(self, metric: Kept) -> Kept:
        self._own.append(metric)
        return metric

    def collect(self) -> list[Metric]:
        """The worker's own series as they stand now, without aliases."""
        return [found for metric in self._own for found in metric.collect()]

    # -------------------------------------------------------------- what happens
    def stepped(self, report: "Step") -> None:
        """The engine has made a step."""
        self.batch_size.observe(report.batch_size)
        self.step_duration.observe(report.seconds)
        self.step_idle.inc(report.idle)
        computed = report.prefill_tokens + report.decode_tokens + report.drafted_tokens
        self.step_tokens.observe(computed)
        self._drafted.inc(report.drafted_tokens)
        self._accepted.inc(report.accepted_tokens)
        self.prefill_tokens.inc(report.prefill_tokens)
        self._waiting_tokens.set(report.waiting_tokens)
        # A new engine counts from 0 again.
        known = self._evicted if report.evicted >= self._evicted else 0
        self._evictions.inc(report.evicted - known)
        self._evicted = report.evicted
        self._cache.set(report.cache_used / report.cache_tokens if report.cache_tokens else 0.0)

    def looked_up(self, prompt_tokens: int, cached_tokens: int) -> None:
        """A text was taken up whose prompt has so many tokens, of which so many had state."""
        self._looked_up.inc(prompt_tokens)
        self._cached.inc(cached_tokens)

    def text_ended(self, reason: str, tokens: int, seconds: float) -> None:
        """A text has so many tokens, the last one so many seconds behind the first."""
        self._texts.labels(self.model, reason).inc()
        if tokens > 1:
            self.output_token.observe(seconds / (tokens - 1))

    def answered(self, code: str, reason: str = "") -> None:
        """A request has ended with a status code, and a reason unless it was answered."""
        self._requests.labels(self.model, code).inc()
        if reason:
            self._rejected.labels(self.model, reason).inc()
        if by := CANCELLED.get(code):
            self._cancelled.labels(self.model, by).inc()

    def cut(self, requests: int) -> None:
        """So many requests were ended because the worker ends."""
        self._cancelled.labels(self.model, "drain").inc(requests)

    def loaded(self, phase: str, seconds: float) -> None:
        """A phase of the start has ended."""
        self._load.labels(self.model, phase).set(seconds)

    # -------------------------------------------------------------- what is
    def watch_queue(self, waiting: Read, running: Read, oldest: Read) -> None:
        """Read the gauges from these whenever they are scraped, from another thread."""
        self._waiting.labels(self.model).set_function(waiting)
        self._running.labels(self.model).set_function(running)
        self._oldest.labels(self.model).set_function(oldest)

    def watch_memory(self, process: str, pid: Callable[[], int]) -> None:
        """Read the memory of a process whenever it is scraped."""
        self._memory.labels(self.model, process).set_function(lambda: resident_bytes(pid()))

    def build(self, facts: dict[str, str]) -> None:
        """Versions, device and the like."""
        self._build.info({"model": self.model, **facts})
