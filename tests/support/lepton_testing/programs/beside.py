"""A worker and the client of another project in one process, in either order of import."""

import asyncio
import importlib
import json
import sys
from typing import Any

import numpy as np
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

WORKER = "lepton_testing.hosted"


def by_triton(address: str) -> list[str]:
    triton: Any = importlib.import_module("tritonclient.grpc")
    tensor = triton.InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"hello"], dtype=object))
    with triton.InferenceServerClient(address) as client:
        array = client.infer("echo", [tensor]).as_numpy("text_output")
    return [item.decode() for item in array]


def by_kserve(address: str) -> list[str]:
    kserve: Any = importlib.import_module("kserve")
    tensor = kserve.InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"hello"], dtype=object))

    async def ask() -> Any:
        async with kserve.InferenceGRPCClient(address) as client:
            return await client.infer(kserve.InferRequest("echo", [tensor]))

    return [item.decode() for item in asyncio.run(ask()).outputs[0].as_numpy()]


ASK = {"tritonclient.grpc": by_triton, "kserve": by_kserve}


def described(channel: Any) -> int:
    """How many files describe the service, by reflection."""
    request = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="inference.GRPCInferenceService"
    )
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    return len(answer.file_descriptor_response.file_descriptor_proto)


def main() -> None:
    asked = json.load(sys.stdin)
    client = asked["client"]
    modules = [WORKER, client] if asked["worker_first"] else [client, WORKER]
    hosted: Any = [importlib.import_module(name) for name in modules][modules.index(WORKER)]
    host = hosted.Host()
    try:
        served = host.serve(backend="echo", model_name="echo")
        texts = ASK[client](f"127.0.0.1:{served.server.port}")
        sys.stdout.write(json.dumps({"texts": texts, "files": described(served.channel)}))
    finally:
        host.close()


if __name__ == "__main__":
    main()
