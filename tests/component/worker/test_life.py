"""A worker from its first second to its last: loading, serving, draining, by the real process."""

import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from lepton.v1 import (
    control_pb2,
    control_pb2_grpc,
    generation_pb2,
    generation_pb2_grpc,
    text_pb2,
    text_pb2_grpc,
)
from lepton_testing.hosted import metadata
from lepton_testing.worker_process import SERVING, WorkerProcess

pytestmark = pytest.mark.component

Stream = Iterator[generation_pb2.GenerateEvent]


def generate(worker: WorkerProcess, text: str, length: int = 64) -> Stream:
    request = generation_pb2.GenerateRequest(
        text=text, sampling=generation_pb2.Sampling(max_new_tokens=length)
    )
    stream: Stream = generation_pb2_grpc.GenerationStub(worker.channel).Generate(request)
    return stream


def embed(worker: WorkerProcess, text: str) -> text_pb2.EmbedResponse:
    request = text_pb2.EmbedRequest(inputs=[text])
    answer: text_pb2.EmbedResponse = text_pb2_grpc.TextStub(worker.channel).Embed(request)
    return answer


def info(worker: WorkerProcess) -> control_pb2.ModelInfo:
    request = control_pb2.GetModelInfoRequest()
    answer: control_pb2.ModelInfo = control_pb2_grpc.ControlStub(worker.channel).GetModelInfo(
        request
    )
    return answer


def load(worker: WorkerProcess) -> control_pb2.Load:
    request = control_pb2.GetLoadRequest()
    answer: control_pb2.Load = control_pb2_grpc.ControlStub(worker.channel).GetLoad(request)
    return answer


def readiness(worker: WorkerProcess) -> Iterator[bool]:
    """Each change of readiness, and first of all what it is now."""
    request = health_pb2.HealthCheckRequest(service="readiness")
    for answer in health_pb2_grpc.HealthStub(worker.channel).Watch(request, timeout=60):
        yield answer.status == SERVING


def reason_of(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def test_a_worker_answers_while_it_loads_then_serves_and_ends(
    tmp_path: Path, samples: Path
) -> None:
    with WorkerProcess(
        tmp_path, source=samples / "bert-encoder", model_name="books", drain_seconds=0
    ) as worker:
        assert worker.health("liveness")
        changes = readiness(worker)
        assert next(changes) is False
        loading = info(worker)
        assert (loading.name, loading.state) == ("books", control_pb2.ModelInfo.STATE_LOADING)
        assert (load(worker).waiting, load(worker).max_waiting) == (0, 256)
        with pytest.raises(grpc.RpcError) as caught:
            embed(worker, "too early")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "MODEL_LOADING"
        pushback = int(metadata(caught.value.trailing_metadata())["grpc-retry-pushback-ms"])
        assert 1000 <= pushback <= 30_000
        assert next(changes) is True
        assert len(embed(worker, "in time").results) == 1
        assert info(worker).state == control_pb2.ModelInfo.STATE_SERVING
        worker.tell()
        assert worker.ended() == 0
    assert not worker.termination_log.exists()
    # What was asked is nobody's business but the caller's.
    assert "in time" not in "".join(worker.log)


def test_told_to_stop_while_loading_it_ends_at_once(tmp_path: Path, samples: Path) -> None:
    with WorkerProcess(tmp_path, source=samples / "bert-encoder") as worker:
        worker.awaits("start-up: import")
        worker.tell()
        assert worker.ended(10) == 0
        assert "serving" not in "".join(worker.log)


def test_metrics_are_served(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, backend="echo", model_name="m", drain_seconds=0) as worker:
        port = int(worker.awaits(r"metrics on port (\d+)")[1])
        worker.awaits("serving")
        assert len(list(generate(worker, "abc"))) >= 3
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    for line in (
        'lepton_requests_total{code="OK",model="m"} 1.0',
        'lepton_generated_tokens_total{model="m"} 4.0',
        'lepton_prompt_tokens_total{model="m"} 3.0',
        'lepton_requests_waiting{model="m"} 0.0',
        'lepton_requests_running{model="m"} 0.0',
        'lepton_request_duration_seconds_count{model="m"} 1.0',
        'lepton_queue_duration_seconds_count{model="m"} 1.0',
        'lepton_time_to_first_token_seconds_count{model="m"} 1.0',
        'lepton_batch_size_count{model="m"} 4.0',
    ):
        assert line in lines
    assert any(line.startswith("lepton_build_info{") and 'version="' in line for line in lines)


def text_of(events: list[generation_pb2.GenerateEvent]) -> str:
    return "".join(event.delta.text for event in events)


def test_draining_finishes_what_is_in_hand(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, backend="echo", echo_delay_ms=50, drain_seconds=20) as worker:
        worker.awaits("serving")
        changes = readiness(worker)
        assert next(changes) is True
        stream = generate(worker, "x" * 100, 100)
        assert next(stream).HasField("accepted")
        worker.tell()
        assert next(changes) is False
        assert worker.health("liveness")
        assert load(worker).draining
        # Endpoints lag behind: for a moment calls still come, and are answered.
        assert len(embed(worker, "late").results) == 1
        worker.awaits("no further calls")
        with pytest.raises(grpc.RpcError) as caught:
            embed(worker, "too late")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "DRAINING"
        events = list(stream)
        assert text_of(events) == "x" * 100
        assert events[-1].finish.reason == generation_pb2.FINISH_REASON_LENGTH
        assert worker.ended() == 0


def test_what_would_not_end_in_time_is_cut_with_a_word(tmp_path: Path) -> None:
    with WorkerProcess(
        tmp_path, backend="echo", echo_delay_ms=100, drain_seconds=2, max_batch_size=1
    ) as worker:
        worker.awaits("serving")
        stream = generate(worker, "y" * 2000, 2000)
        assert next(stream).HasField("accepted")
        assert next(stream).delta.text
        waiting = generate(worker, "never begun")
        assert next(waiting).accepted.queue_position == 0
        worker.tell()
        events = list(stream)
        assert events[-1].finish.reason == generation_pb2.FINISH_REASON_DRAINED
        assert 0 < events[-1].finish.usage.output_tokens < 2000
        assert text_of(events).strip("y") == ""
        with pytest.raises(grpc.RpcError) as caught:
            list(waiting)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "DRAINING"
        assert worker.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with WorkerProcess(tmp_path, backend="echo", echo_delay_ms=60_000) as worker:
        worker.awaits("serving")
        stream = generate(worker, "never done")
        assert next(stream).HasField("accepted")
        worker.tell(number)
        worker.awaits("draining")
        worker.tell(number)
        assert worker.ended(10) == 128 + number


def test_a_step_that_takes_forever_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with WorkerProcess(
        tmp_path, backend="echo", echo_delay_ms=3_600_000, drain_seconds=0
    ) as worker:
        worker.awaits("serving")
        stream = generate(worker, "stuck")
        assert next(stream).HasField("accepted")
        loads = control_pb2_grpc.ControlStub(worker.channel).WatchLoad(
            control_pb2.WatchLoadRequest(interval=duration_pb2.Duration(nanos=100_000_000)),
            timeout=20,
        )
        assert next(told for told in loads if told.running == 1)
        loads.cancel()
        worker.tell()
        assert next(stream).finish.reason == generation_pb2.FINISH_REASON_DRAINED
        assert worker.ended(20) == 0
