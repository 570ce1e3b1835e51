"""Traces of calls, exported by OTLP over gRPC where the standard environment asks for it.

Without an endpoint in the environment nothing of OpenTelemetry is imported. The exporter works in a
thread of its own behind a bounded queue: a collector that cannot be reached costs spans, and no
call waits for it. Spans carry lengths, times and endings, never a text.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lepton_worker import __version__
from lepton_worker.serving.records import Record, Value, attributes, phases, trace_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

TRACED = ("/lepton.v1.Generation/", "/lepton.v1.Text/", "/inference.GRPCInferenceService/Model")
NOT_TRACED = ("Metadata", "Ready")
"""Ends of methods that ask the model nothing."""

EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.grpc.exporter"

TOLD_SECONDS = 60.0
"""Between two lines about a collector that takes nothing."""

MOST_JOBS = 8
"""Jobs of a call that get spans of their own."""

FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Status codes that the conventions for gRPC count as the server's failure."""


class CallSpan:
    """The span of one call that runs."""

    def __init__(self, tracer: Any, span: "Span") -> None:
        self._tracer = tracer
        self._span = span
        self._offset = time.time_ns() - round(time.monotonic() * 1e9)

    @property
    def trace_id(self) -> str:
        """The trace that it belongs to."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(self, record: Record, code: str, reason: str, ended: float) -> None:
        """The call is over: tell of it, and of its parts."""
        from opentelemetry.trace import Status, StatusCode

        span = self._span
        if not span.is_recording():
            return
        span.set_attributes(_plain(attributes(record, code, reason)))
        if code in FAULTS:
            span.set_status(Status(StatusCode.ERROR, reason))
        for number, stream in enumerate(record.streams[:MOST_JOBS]):
            for phase in phases(stream, ended):
                self._part(phase.name, phase.begin, phase.end, {**phase.attributes}, number)
        span.end(self._at(ended))

    def _part(
        self, name: str, begin: float, end: float, about: dict[str, Value], number: int
    ) -> None:
        from opentelemetry.trace import set_span_in_context

        part = self._tracer.start_span(
            name,
            context=set_span_in_context(self._span),
            start_time=self._at(begin),
            attributes=_plain({**about, "lepton.job": number}),
        )
        part.end(self._at(max(begin, end)))

    def _at(self, seconds: float) -> int:
        """Nanoseconds since 1970 of a monotonic time."""
        return round(seconds * 1e9) + self._offset


class Tracing:
    """Makes the spans of calls and hands them to the exporter."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("lepton_worker", __version__)
        self._extract = TraceContextTextMapPropagator().extract

    def begin(self, method: str, metadata: Mapping[str, object]) -> CallSpan:
        """The span of a call that begins, under the parent that its metadata name."""
        from opentelemetry.trace import SpanKind

        sent = ("traceparent", "tracestate")
        parent = self._extract({key: str(metadata[key]) for key in sent if key in metadata})
        name = method.removeprefix("/")
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER)
        return CallSpan(self._tracer, span)

    async def close(self, seconds: float) -> None:
        """Export what is left, for so many seconds at most.

        In a thread that nobody waits for: the SDK flushes for as long as its collector is away,
        whatever time it is given.
        """
        loop, flushed = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._provider.force_flush()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(flushed.set)

        threading.Thread(target=flush, name="last spans", daemon=True).start()
        try:
            await asyncio.wait_for(flushed.wait(), seconds)
        except TimeoutError:
            log.info("spans that no collector took are lost")


class NowAndThen(logging.Filter):
    """Lets a line pass if the last one was long ago: a collector that is away is told of once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to tell it."""
        now = self._clock()
        if record.levelno < logging.ERROR or now < self._next:
            return False
        self._next = now + TOLD_SECONDS
        return True


_active: list[Tracing] = []
"""Of this process: none or one, like OpenTelemetry's own provider."""


def activate(tracing: Tracing | None) -> None:
    """Trace the calls of this process from now on, or no longer."""
    _active[:] = [] if tracing is None else [tracing]


def begin(method: str, metadata: Mapping[str, object]) -> tuple[CallSpan | None, str]:
    """The span of a call if it is traced, and the trace that it belongs to, if any."""
    if not _active or not method.startswith(TRACED) or method.endswith(NOT_TRACED):
        return None, trace_of(metadata)
    span = _active[0].begin(method, metadata)
    return span, span.trace_id


def open_tracing(wanted: bool, named: bool, instance: str) -> Tracing | None:
    """What the standard environment describes, if tracing is `wanted`; None otherwise.

    The SDK reads the rest of the environment: sampler, headers, certificates, time limits. `named`
    says that the service has a name there.
    """
    if not wanted:
        return None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {"service.version": __version__, "service.instance.id": instance}
    own |= {} if named else {"service.name": "lepton-worker"}
    provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logging.getLogger(EXPORTER_LOG).addFilter(NowAndThen())
    log.info("traces go to the collector that the environment names")
    return Tracing(provider)


def _plain(values: Mapping[str, Value]) -> dict[str, Any]:
    return dict(values)
