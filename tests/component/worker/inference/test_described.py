"""What a worker tells of these services: by reflection, by health, and to grpcurl."""

import json
import subprocess
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lepton_testing.hosted import Served
from lepton_testing.tools import grpcurl
from lepton_worker.serving import orca
from lepton_worker.serving.inference import messages

pytestmark = pytest.mark.component

SERVICES = (messages.SERVICE, orca.SERVICE)
Request = reflection_pb2.ServerReflectionRequest


def reflected(served: Served, *asked: Any) -> list[Any]:
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    return list(stub.ServerReflectionInfo(iter(asked)))


def files_of(answer: Any) -> dict[str, Any]:
    files = answer.file_descriptor_response.file_descriptor_proto
    read = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in files]
    return {file.name: file for file in read}


def test_reflection_lists_and_describes_them_beside_ours(echo: Served) -> None:
    asked = [Request(list_services="")]
    asked += [Request(file_containing_symbol=name) for name in (*SERVICES, "lepton.v1.Text")]
    asked += [Request(file_by_filename="inference/model_config.proto")]
    asked += [Request(file_containing_symbol="inference.ModelInferRequest.InferInputTensor")]
    asked += [Request(file_containing_symbol="no.such.Thing")]
    listed, inference, load, text, by_name, message, unknown = reflected(echo, *asked)
    names = {service.name for service in listed.list_services_response.service}
    assert {*SERVICES, "lepton.v1.Text", "grpc.health.v1.Health"} <= names
    assert set(files_of(inference)) == {"inference/inference.proto", "inference/model_config.proto"}
    assert {"orca/service.proto", "orca/load_report.proto"} <= set(files_of(load))
    assert "lepton/v1/text.proto" in files_of(text)
    assert set(files_of(by_name)) == {"inference/model_config.proto"}
    assert "inference/inference.proto" in files_of(message)
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_health_knows_them(echo: Served) -> None:
    stub = health_pb2_grpc.HealthStub(echo.channel)
    for name in SERVICES:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.skipif(grpcurl() is None, reason="grpcurl is not there; run: make cluster-build")
def test_grpcurl_asks_with_nothing_but_reflection(echo: Served) -> None:
    program = grpcurl()
    assert program is not None
    address = f"127.0.0.1:{echo.server.port}"

    def said(*arguments: str) -> str:
        command = [program, "-plaintext", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert set(SERVICES) <= set(said(address, "list").split())
    assert "rpc ModelInfer" in said(address, "describe", messages.SERVICE)
    tensor = {
        "name": "text",
        "datatype": "BYTES",
        "shape": [1],
        "contents": {"bytes_contents": ["aGVsbG8="]},
    }
    sent = json.dumps({"model_name": "echo", "inputs": [tensor]})
    answer = json.loads(said("-d", sent, address, f"{messages.SERVICE}/ModelInfer"))
    assert answer["outputs"][0] == {"name": "text_output", "datatype": "BYTES", "shape": ["1"]}
    assert answer["rawOutputContents"][0] == "BQAAAGhlbGxv"
