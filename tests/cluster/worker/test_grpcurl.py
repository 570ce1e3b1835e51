"""grpcurl, knowing nothing but the address: it learns every message by reflection."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lepton_testing.worker_process import WorkerProcess
from localcluster.cluster import Cluster

pytestmark = pytest.mark.cluster


class Grpcurl:
    """The program, pointed at one worker."""

    def __init__(self, program: str, address: str) -> None:
        self._program, self._address = program, address

    def __call__(self, *words: str, data: Any = None, fails: bool = False) -> str:
        command = [self._program, "-plaintext", "-max-time", "30"]
        if data is not None:
            command += ["-d", json.dumps(data)]
        done = subprocess.run(
            [*command, self._address, *words], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def grpcurl(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grpcurl]:
    folder = tmp_path_factory.mktemp("worker")
    with WorkerProcess(folder, backend="echo", model_name="echo") as worker:
        port = worker.awaits(r"listening on port (\d+)")[1]
        worker.awaits(" serving")
        yield Grpcurl(str(control_plane.tool("grpcurl")), f"127.0.0.1:{port}")


def answers(printed: str) -> list[Any]:
    """The messages of a printed stream."""
    found, rest = [], printed.strip()
    while rest:
        message, end = json.JSONDecoder().raw_decode(rest)
        found.append(message)
        rest = rest[end:].strip()
    return found


def test_every_service_is_listed(grpcurl: Grpcurl) -> None:
    assert set(grpcurl("list").split()) >= {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "lepton.v1.Control",
        "lepton.v1.Generation",
        "lepton.v1.Text",
        "xds.service.orca.v3.OpenRcaService",
    }


@pytest.mark.parametrize(
    ("symbol", "words"),
    [
        ("lepton.v1.Generation", "rpc Chat"),
        ("lepton.v1.Sampling", "repetition_penalty"),
        ("inference.GRPCInferenceService.ModelStreamInfer", "stream .inference.ModelInferRequest"),
        ("lepton.v1.Text.Classify", "returns ( .lepton.v1.ClassifyResponse )"),
    ],
)
def test_services_methods_and_messages_are_described(
    grpcurl: Grpcurl, symbol: str, words: str
) -> None:
    assert words in grpcurl("describe", symbol)


def test_a_text_is_streamed(grpcurl: Grpcurl) -> None:
    request = {"text": "one two three", "sampling": {"maxNewTokens": 3}}
    events = answers(grpcurl("lepton.v1.Generation/Generate", data=request))
    assert "accepted" in events[0]
    text = "".join(event.get("delta", {}).get("text", "") for event in events)
    assert text
    assert events[-1]["finish"]["usage"]["output_tokens"] == 3


def test_a_refusal_is_printed_with_its_details(grpcurl: Grpcurl) -> None:
    request = {"text": "one", "sampling": {"topP": 7}}
    printed = grpcurl("lepton.v1.Generation/Generate", data=request, fails=True)
    assert "InvalidArgument" in printed
    assert "top_p" in printed


def test_health_and_the_open_inference_protocol_answer(grpcurl: Grpcurl) -> None:
    assert json.loads(grpcurl("grpc.health.v1.Health/Check"))["status"] == "SERVING"
    assert json.loads(grpcurl("inference.GRPCInferenceService/ServerReady"))["ready"] is True
    found = grpcurl("inference.GRPCInferenceService/ModelMetadata", data={"name": "echo"})
    assert json.loads(found)["name"] == "echo"
