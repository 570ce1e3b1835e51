"""Traces of a worker, received by a collector in this process; and none where nobody asked."""

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from lepton.v1 import generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "the-request"))
NOT_SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
MARKER = "kingfisher"
SERVING = '"message": "serving"'

Span = trace_pb2.Span


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans by OTLP."""

    def __init__(self) -> None:
        self.spans: queue.Queue[Span] = queue.Queue()
        self.resources: list[dict[str, Any]] = []
        self._server = grpc.server(ThreadPoolExecutor(1))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            self, self._server
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put(span)
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self) -> tuple[Span, dict[str, Span]]:
        """The next call's span, and its children by name; the call's own comes last."""
        children = {}
        while (span := self.spans.get(timeout=30)).kind != Span.SPAN_KIND_SERVER:
            children[span.name] = span
        return span, children

    def close(self) -> None:
        self._server.stop(0).wait()


def values(attributes: Any) -> dict[str, Any]:
    found = {}
    for item in attributes:
        kind = item.value.WhichOneof("value")
        value = getattr(item.value, kind)
        if kind == "array_value":
            value = [part.string_value for part in value.values]
        found[item.key] = value
    return found


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def traced(folder: Path, port: int, **environment: str) -> WorkerProcess:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **environment,
    }
    return WorkerProcess(
        folder,
        variables,
        backend="echo",
        model_name="books",
        drain_seconds=0,
        log_level="DEBUG",
        log_format="json",
    )


@pytest.fixture(scope="module")
def worker(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[WorkerProcess]:
    with traced(tmp_path_factory.mktemp("traced"), collector.port) as worker:
        worker.awaits(SERVING)
        yield worker


def embed(worker: WorkerProcess, text: str = MARKER, **options: Any) -> None:
    text_pb2_grpc.TextStub(worker.channel).Embed(text_pb2.EmbedRequest(inputs=[text]), **options)


def write(worker: WorkerProcess, **options: Any) -> None:
    request = generation_pb2.GenerateRequest(
        text=MARKER, sampling=generation_pb2.Sampling(max_new_tokens=4)
    )
    list(generation_pb2_grpc.GenerationStub(worker.channel).Generate(request, **options))


@contextlib.contextmanager
def a_dead_port() -> Iterator[int]:
    """A port on which nobody listens, kept from others."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def holds_together(span: Span, children: dict[str, Span]) -> None:
    """Children lie within their parent, one behind the other."""
    at = span.start_time_unix_nano
    for child in sorted(children.values(), key=lambda child: child.start_time_unix_nano):
        assert child.trace_id == span.trace_id
        assert child.parent_span_id == span.span_id
        assert at <= child.start_time_unix_nano <= child.end_time_unix_nano
        at = child.end_time_unix_nano
    assert at <= span.end_time_unix_nano


def test_a_call_has_a_span_under_its_callers(worker: WorkerProcess, collector: Collector) -> None:
    embed(worker, metadata=SENT)
    span, children = collector.trace()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.name == "lepton.v1.Text/Embed"
    assert values(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "lepton.v1.Text/Embed",
        "rpc.response.status_code": "OK",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "lepton",
        "gen_ai.request.model": "books",
        "gen_ai.usage.input_tokens": len(MARKER),
        "lepton.request_id": "the-request",
    }
    assert children.keys() == {"tokenise", "queue", "encode"}
    holds_together(span, children)
    assert collector.resources[-1]["service.name"] == "lepton-worker"


def test_a_stream_has_a_span_under_its_callers(worker: WorkerProcess, collector: Collector) -> None:
    write(worker, metadata=SENT)
    span, children = collector.trace()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert values(span.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "lepton.v1.Generation/Generate",
        "rpc.response.status_code": "OK",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "lepton",
        "gen_ai.request.model": "books",
        "gen_ai.request.max_tokens": 4,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.usage.input_tokens": len(MARKER),
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.response.finish_reasons": ["length"],
        "lepton.request_id": "the-request",
    }
    assert children.keys() == {"tokenise", "queue", "prefill", "decode"}
    holds_together(span, children)
    for told in (span, *children.values()):
        assert MARKER not in str(told)
    line = worker.awaits(r"\{.*Generation/Generate OK.*\}")[0]
    assert f'"trace_id": "{TRACE}"' in line


def test_an_error_is_told_by_its_reason(worker: WorkerProcess, collector: Collector) -> None:
    with pytest.raises(grpc.RpcError):
        embed(worker, "")
    span, children = collector.trace()
    assert not span.parent_span_id
    told = values(span.attributes)
    assert told["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert told["error.type"] == "INVALID_REQUEST"
    # The caller's fault, not the server's.
    assert span.status.code != trace_pb2.Status.STATUS_CODE_ERROR
    assert children == {}


def test_what_the_caller_does_not_sample_is_not_exported(
    worker: WorkerProcess, collector: Collector
) -> None:
    embed(worker, metadata=NOT_SAMPLED)
    write(worker)
    span, _ = collector.trace()
    assert span.name == "lepton.v1.Generation/Generate"


def test_the_last_spans_are_sent_at_the_end(tmp_path: Path, collector: Collector) -> None:
    with traced(
        tmp_path, collector.port, OTEL_BSP_SCHEDULE_DELAY="60000", OTEL_SERVICE_NAME="mine"
    ) as worker:
        worker.awaits(SERVING)
        write(worker)
        worker.tell()
        assert worker.ended() == 0
    assert collector.trace()[0].name == "lepton.v1.Generation/Generate"
    assert collector.resources[-1]["service.name"] == "mine"


def test_the_environment_can_turn_sampling_off(tmp_path: Path, collector: Collector) -> None:
    with traced(tmp_path, collector.port, OTEL_TRACES_SAMPLER="always_off") as worker:
        worker.awaits(SERVING)
        write(worker)
        worker.tell()
        assert worker.ended() == 0
    assert collector.spans.empty()


def test_a_collector_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    """Neither calls nor the end wait for it, however long the exporter tries."""
    with a_dead_port() as port, traced(tmp_path, port, OTEL_EXPORTER_OTLP_TIMEOUT="120") as worker:
        worker.awaits(SERVING)
        for _ in range(20):
            write(worker, timeout=10)
        worker.tell()
        assert worker.ended(30) == 0
    assert not any("Transient error" in line for line in worker.log)


def test_a_protocol_other_than_grpc_is_refused(tmp_path: Path) -> None:
    with traced(tmp_path, 1, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf") as worker:
        assert worker.ended() == 1
        assert worker.last_words() == (
            "InvalidSetting",
            "OTEL_EXPORTER_OTLP_PROTOCOL must be grpc, not 'http/protobuf'",
        )


PROGRAM = """
import asyncio, sys
from lepton_worker.serving.app import serve
from lepton_worker.settings import Settings
from lepton_worker.engine.worker import State, Worker

async def main():
    opened = Worker.open
    async def open_and_end(self):
        await opened(self)
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
    Worker.open = open_and_end
    await serve(Settings(backend="echo", host="127.0.0.1", grpc_port=0, metrics_port=0,
                         drain_seconds=0), 0.0)

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr
