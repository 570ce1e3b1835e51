"""The start of a worker: phases, readiness, what is read ahead, and an engine that replaces one."""

import os
import signal
from pathlib import Path

import pytest

from lepton.v1 import control_pb2, control_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.worker_process import WorkerProcess
from lepton_worker.source.warm import warm

pytestmark = pytest.mark.component

PHASES = ("fetch", "import", "load", "warm_up")


def phases(worker: WorkerProcess) -> dict[str, float]:
    info = control_pb2_grpc.ControlStub(worker.channel).GetModelInfo(
        control_pb2.GetModelInfoRequest()
    )
    return {name: taken.ToTimedelta().total_seconds() for name, taken in info.start_up.items()}


def embed(worker: WorkerProcess) -> int:
    answer = text_pb2_grpc.TextStub(worker.channel).Embed(text_pb2.EmbedRequest(inputs=["a"]))
    return int(answer.dimensions)


def killed(worker: WorkerProcess) -> None:
    os.kill(worker.processes()[2], signal.SIGKILL)


def test_a_new_engine_skips_what_the_first_one_did(tmp_path: Path, samples: Path) -> None:
    """Its imports are done and its files are there: it only loads, and adds no fetch."""
    with WorkerProcess(tmp_path, source=samples / "sentence-encoder", drain_seconds=0) as worker:
        worker.awaits(" serving")
        dimensions, first = embed(worker), phases(worker)
        assert tuple(sorted(first)) == tuple(sorted(PHASES))
        killed(worker)
        worker.awaits("a new engine computes")
        # A call that comes now, or came while there was none, is answered by the new engine.
        assert embed(worker) == dimensions
        second = phases(worker)
        assert second["fetch"] == first["fetch"]
        assert second["import"] < first["import"] / 2
        assert sum("start-up: fetch" in line for line in worker.log) == 1
        worker.tell()
        assert worker.ended() == 0


def test_ready_is_said_behind_the_warm_up(tmp_path: Path, samples: Path) -> None:
    with WorkerProcess(tmp_path, source=samples / "sentence-encoder", drain_seconds=0) as worker:
        worker.awaits("start-up: warm_up")
        assert not any(line.endswith(" serving\n") for line in worker.log)
        worker.awaits(" serving")
        assert worker.health("readiness")
        assert "warm_up" in phases(worker)


def test_weights_are_asked_for_ahead(tmp_path: Path) -> None:
    (tmp_path / "model-1.safetensors").write_bytes(b"a" * 100)
    (tmp_path / "model-2.safetensors").write_bytes(b"b" * 50)
    (tmp_path / "tokenizer.json").write_bytes(b"c")
    assert warm(tmp_path) == 150
    assert warm(tmp_path / "none") == 0
