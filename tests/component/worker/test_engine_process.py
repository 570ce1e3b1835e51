"""The engine as a process of its own: killed at work, and gone whenever the worker is."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lepton.v1 import generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

PATIENCE = 30.0
ECHO: dict[str, Any] = {"backend": "echo", "engine": "process", "drain_seconds": 0}
LONG = 4000


def generate(worker: WorkerProcess, text: str, new: int) -> Any:
    request = generation_pb2.GenerateRequest(
        text=text, sampling=generation_pb2.Sampling(max_new_tokens=new, ignore_eos=True)
    )
    return generation_pb2_grpc.GenerationStub(worker.channel).Generate(request, timeout=60)


def has_begun(stream: Iterator[Any]) -> list[int]:
    """Wait for the first tokens of a stream, and return them."""
    assert next(stream).HasField("accepted")
    return list(next(stream).delta.token_ids)


def reason_of(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def check_lost(stream: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "ENGINE_LOST"


def check_gone(*processes: int) -> None:
    """Wait until none of the processes runs."""
    deadline = time.monotonic() + PATIENCE
    while any(map(runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(runs, processes))


def runs(process: int) -> bool:
    """Whether it is there, and more than an entry that nobody has asked for."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_of_what_runs_and_what_waits(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, **ECHO, echo_delay_ms=20, max_batch_size=2) as worker:
        worker.awaits(" serving")
        front, zygote, engine = worker.processes()
        running = [generate(worker, "ab" * 500, LONG) for _ in range(2)]
        for stream in running:
            has_begun(stream)
        waiting = [generate(worker, f"text {number}", 6) for number in range(5)]
        embedding = text_pb2_grpc.TextStub(worker.channel).Embed.future(
            text_pb2.EmbedRequest(inputs=["here too"]), timeout=60
        )
        assert all(next(stream).HasField("accepted") for stream in waiting)
        os.kill(engine, signal.SIGKILL)
        for stream in running:
            check_lost(stream)
        for number, stream in enumerate(waiting):
            text = "".join(event.delta.text for event in stream)
            assert text == f"text {number}"  # and nothing twice
        assert len(embedding.result().results) == 1
        assert worker.health("liveness")
        assert worker.health("readiness")
        again = worker.processes()
        assert again[:2] == (front, zygote)
        assert again[2] != engine
        check_gone(engine)
        worker.tell()
        assert worker.ended() == 0
        check_gone(*again)


def test_a_model_is_loaded_again_and_the_answers_are_the_same(
    tmp_path: Path, samples: Path
) -> None:
    with WorkerProcess(
        tmp_path, source=samples / "llama", max_batch_size=1, drain_seconds=0
    ) as worker:
        worker.awaits(" serving")
        expected = [event.delta.text for event in generate(worker, "The harbour", 20)]
        _, _, engine = worker.processes()
        running = generate(worker, "All day", 480)
        has_begun(running)
        waiting = generate(worker, "The harbour", 20)
        assert next(waiting).HasField("accepted")
        os.kill(engine, signal.SIGKILL)
        check_lost(running)
        assert "".join(event.delta.text for event in waiting) == "".join(expected)
        worker.awaits("a new engine computes")
        for phase in ("import", "load", "warm_up"):
            assert sum(f"start-up: {phase}" in line for line in worker.log) == 2
        check_gone(engine)


@pytest.mark.parametrize("settings", [{}, {"echo_delay_ms": 3_600_000}], ids=["idle", "in a step"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_front(
    tmp_path: Path, number: signal.Signals, settings: dict[str, Any]
) -> None:
    with WorkerProcess(tmp_path, **ECHO, **settings) as worker:
        worker.awaits(" serving")
        processes = worker.processes()
        stream = generate(worker, "for ever", LONG) if settings else None
        assert stream is None or next(stream).HasField("accepted")
        worker.tell(number)
        assert worker.ended() == (0 if number is signal.SIGTERM else -signal.SIGKILL)
        check_gone(*processes)


def test_the_engine_begins_with_an_allocator_of_huge_pages(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, **ECHO) as worker:
        worker.awaits(" serving")
        variables = Path(f"/proc/{worker.processes()[2]}/environ").read_bytes().split(b"\0")
        assert b"GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in variables


def test_without_the_parent_of_engines_the_worker_ends(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, **ECHO) as worker:
        worker.awaits(" serving")
        _, zygote, engine = worker.processes()
        os.kill(zygote, signal.SIGKILL)
        assert worker.ended() == 1
        check_gone(zygote, engine)


def test_an_engine_that_is_lost_again_and_again_ends_the_worker(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, **ECHO) as worker:
        worker.awaits(" serving")
        engine = 0
        for _ in range(4):
            engine = other_than(engine, worker.processes)
            os.kill(engine, signal.SIGKILL)
            worker.awaits("a new engine computes")
            worker.log.clear()
        engine = other_than(engine, worker.processes)
        os.kill(engine, signal.SIGKILL)
        assert worker.ended() == 1
        assert any("lost 5 times" in line for line in worker.log)
        check_gone(engine)


def other_than(engine: int, processes: Callable[[], tuple[int, int, int]]) -> int:
    found = processes()[2]
    assert found != engine
    return found


def test_killed_while_it_loads_it_says_for_want_of_what(tmp_path: Path, samples: Path) -> None:
    with WorkerProcess(tmp_path, source=samples / "llama") as worker:
        worker.awaits("start-up: import")
        os.kill(worker.processes()[2], signal.SIGKILL)
        assert worker.ended() == 1
        reason, message = worker.last_words()
        assert reason == "OutOfMemory"
        assert "raise the memory limit" in message
