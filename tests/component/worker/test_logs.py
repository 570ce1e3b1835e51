"""The log of a worker: what it tells of each call, and what it never does."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import common_pb2, generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

MARKER = "kingfisher"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", "the-request"))

Generate = generation_pb2.GenerateRequest
Sampling = generation_pb2.Sampling


class Logged:
    """A worker with a decoder that logs everything, and a way to have its lines."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        worker.awaits('"message": "serving"')
        self.generation = generation_pb2_grpc.GenerationStub(worker.channel)
        self.text = text_pb2_grpc.TextStub(worker.channel)

    def line(self, request: str) -> dict[str, Any]:
        """What is told of the call with this id, in the line with its end."""
        found = self.worker.awaits(rf'^\{{.*"request_id": "{request}".*"code".*\}}$')[0]
        line: dict[str, Any] = json.loads(found)
        return line

    def write(self, request: str, **fields: Any) -> list[generation_pb2.GenerateEvent]:
        meta = common_pb2.RequestMeta(request_id=request)
        return list(self.generation.Generate(Generate(meta=meta, **fields)))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Logged]:
    with WorkerProcess(
        tmp_path_factory.mktemp("logged"),
        source=samples / "llama",
        model_name="books",
        log_level="DEBUG",
        log_format="json",
        drain_seconds=0,
        max_batch_size=1,
    ) as worker:
        yield Logged(worker)


def test_a_line_tells_who_asked_and_how_it_ended(logged: Logged) -> None:
    request = Generate(text=MARKER, sampling=Sampling(max_new_tokens=4, ignore_eos=True))
    events = list(logged.generation.Generate(request, metadata=SENT))
    usage = events[-1].finish.usage
    line = logged.line("the-request")
    times = {name: line.pop(name) for name in sorted(line) if name.endswith("_seconds")}
    assert times.keys() == {"duration_seconds", "first_token_seconds", "queue_seconds"}
    assert 0 <= times["queue_seconds"] <= times["first_token_seconds"] <= times["duration_seconds"]
    assert line.pop("time").endswith("Z")
    assert line.pop("message").startswith("/lepton.v1.Generation/Generate OK - ")
    assert line == {
        "level": "debug",
        "logger": "lepton_worker.serving.calls",
        "request_id": "the-request",
        "trace_id": TRACE,
        "method": "/lepton.v1.Generation/Generate",
        "model": "books",
        "code": "OK",
        "batch_size": 1,
        "prompt_tokens": usage.prompt_tokens,
        "output_tokens": 4,
        "cached_tokens": usage.cached_tokens,
        "finish_reasons": ["length"],
    }


def test_no_line_has_what_was_asked_or_answered(logged: Logged) -> None:
    """Success, refusals of every kind, a caller that goes, a late one, and a killed engine."""
    long = Sampling(max_new_tokens=200, ignore_eos=True)
    logged.write("fine", text=MARKER, sampling=Sampling(max_new_tokens=2))
    refused: dict[str, dict[str, Any]] = {
        "wrong": {"text": MARKER, "sampling": Sampling(temperature=-1)},
        "schema": {"text": "x", "sampling": Sampling(json_schema=f'{{"type": "{MARKER}"}}')},
        "pattern": {"text": "x", "sampling": Sampling(regex=f"({MARKER}")},
        "grammar": {"text": "x", "sampling": Sampling(grammar=f"start: {MARKER} (")},
        "too-long": {"text": f"{MARKER} " * 5000},
    }
    for request, fields in refused.items():
        with pytest.raises(grpc.RpcError):
            logged.write(request, **fields)
        assert logged.line(request)["reason"] in ("INVALID_REQUEST", "CONTEXT_LENGTH_EXCEEDED")
    template = generation_pb2.ChatRequest(
        messages=[generation_pb2.Message(role=MARKER, content=MARKER)]
    )
    for call in (
        lambda: list(logged.generation.Chat(template, metadata=(("x-request-id", "chat"),))),
        lambda: logged.text.Embed(
            text_pb2.EmbedRequest(inputs=[MARKER]), metadata=(("x-request-id", "embed"),)
        ),
        lambda: list(
            logged.generation.Generate(
                Generate(text=MARKER, sampling=long, meta={"request_id": "late"}), timeout=0.05
            )
        ),
    ):
        with pytest.raises(grpc.RpcError):
            call()
    stream = logged.generation.Generate(
        Generate(text=MARKER, sampling=long, meta={"request_id": "gone"})
    )
    assert next(stream).HasField("accepted")
    assert next(stream).delta.token_ids
    stream.cancel()
    assert logged.line("gone")["code"] == "CANCELLED"
    with pytest.raises(grpc.RpcError):
        _killed_with(logged, Generate(text=MARKER, sampling=long, meta={"request_id": "killed"}))
    assert logged.line("killed")["reason"] == "ENGINE_LOST"
    logged.worker.tell()
    assert logged.worker.ended() == 0
    told = "".join(logged.worker.log)
    assert "the engine is lost" in told
    assert MARKER not in told


def _killed_with(logged: Logged, request: Any) -> None:
    """Kill the engine in the midst of a text."""
    stream = logged.generation.Generate(request)
    assert next(stream).HasField("accepted")
    assert next(stream).delta.token_ids
    os.kill(logged.worker.processes()[2], signal.SIGKILL)
    list(stream)
