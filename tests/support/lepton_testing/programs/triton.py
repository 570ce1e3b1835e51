"""What tritonclient makes of a worker, by its synchronous and its asynchronous client."""

import asyncio
import importlib
import json
import queue
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np

from lepton.v1 import control_pb2, control_pb2_grpc

tc: Any = importlib.import_module("tritonclient.grpc")
aio: Any = importlib.import_module("tritonclient.grpc.aio")
utils: Any = importlib.import_module("tritonclient.utils")


def tensors(inputs: dict[str, Any], column: bool = False) -> list[Any]:
    """Inputs as tritonclient sends them; whole numbers as INT64."""
    found = []
    for name, values in inputs.items():
        kind, dtype = kind_of(values[0])
        array = np.array([item.encode() for item in values] if kind == "BYTES" else values)
        array = array.astype(dtype)
        array = array.reshape(-1, 1) if column else array
        tensor = tc.InferInput(name, array.shape, kind)
        tensor.set_data_from_numpy(array)
        found.append(tensor)
    return found


def kind_of(value: Any) -> tuple[str, Any]:
    """Datatype of an input, and that of its array."""
    kinds = {str: ("BYTES", np.object_), bool: ("BOOL", np.bool_), int: ("INT64", np.int64)}
    return kinds.get(type(value), kinds[int])


def shown(result: Any) -> dict[str, Any]:
    """An answer with every output as numpy sees it."""
    response = result.get_response()
    outputs = {}
    for output in response.outputs:
        array = result.as_numpy(output.name)
        outputs[output.name] = {
            "kind": array.dtype.kind,
            "shape": list(array.shape),
            "values": texts_of(array),
        }
    return {
        "id": response.id,
        "model": (response.model_name, response.model_version),
        "outputs": outputs,
        "parameters": parameters_of(response),
    }


def texts_of(array: Any) -> Any:
    if array.dtype.kind == "O":
        return [item.decode() for item in array.ravel()]
    return array.tolist()


def parameters_of(response: Any) -> dict[str, Any]:
    kinds = {
        name: item.WhichOneof("parameter_choice") for name, item in response.parameters.items()
    }
    return {name: getattr(response.parameters[name], kind) for name, kind in kinds.items()}


def error_of(error: Any) -> tuple[str, str]:
    return error.status() or "", error.message()


# ------------------------------------------------------------------ synchronous
def unary(case: dict[str, Any]) -> dict[str, Any]:
    """One call of `infer` in each form of a case."""
    name = case["model"]
    with tc.InferenceServerClient(case["address"]) as client:
        before = client.get_inference_statistics(name, as_json=True)["model_stats"][0]
        facts = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(name),
            "other_ready": client.is_model_ready("other"),
            "server": client.get_server_metadata(as_json=True),
            "metadata": client.get_model_metadata(name, as_json=True),
            "config": client.get_model_config(name, as_json=True)["config"],
            "index": client.get_model_repository_index(as_json=True),
        }
        more = {"request_id": "one", "parameters": case.get("parameters")}
        plain = shown(client.infer(name, tensors(case["inputs"]), **more))
        first = next(iter(plain["outputs"]))
        wanted = [tc.InferRequestedOutput(output) for output in reversed(plain["outputs"])]
        return {
            "facts": facts,
            "plain": plain,
            "column": shown(client.infer(name, tensors(case["inputs"], column=True), **more)),
            "reversed": shown(client.infer(name, tensors(case["inputs"]), outputs=wanted, **more)),
            "one": shown(
                client.infer(
                    name,
                    tensors(case["inputs"]),
                    outputs=[tc.InferRequestedOutput(first)],
                    compression_algorithm="gzip",
                    **more,
                )
            ),
            "before": before,
            "statistics": client.get_inference_statistics(name, as_json=True)["model_stats"][0],
        }


def failures(case: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What is told of wrong calls."""
    name, good = case["model"], tensors(case["inputs"])
    numbers = tc.InferInput("text", [1], "FP32")
    numbers.set_data_from_numpy(np.ones(1, np.float32))
    calls: dict[str, Any] = {
        "model": lambda client: client.infer("other", good),
        "adapter": lambda client: client.infer(f"{name}:other", good),
        "version": lambda client: client.infer(name, good, model_version="2"),
        "datatype": lambda client: client.infer(name, [numbers]),
        "input": lambda client: client.infer(name, tensors({"texts": ["a"]})),
        "twice": lambda client: client.infer(name, [*good, *good]),
        "empty": lambda client: client.infer(name, tensors({"text": ["a", ""]})),
        "output": lambda client: client.infer(
            name, good, outputs=[tc.InferRequestedOutput("other")]
        ),
        "class_count": lambda client: client.infer(
            name, good, outputs=[tc.InferRequestedOutput("label", class_count=2)]
        ),
        "timeout": lambda client: client.infer(name, good, client_timeout=1e-6),
        "metadata": lambda client: client.get_model_metadata("other"),
        "load": lambda client: client.load_model(name),
        "shared memory": lambda client: client.get_system_shared_memory_status(),
    }
    found = {}
    with tc.InferenceServerClient(case["address"]) as client:
        for what, call in calls.items():
            try:
                call(client)
                found[what] = ("", "answered")
            except utils.InferenceServerException as error:
                found[what] = error_of(error)
    return found


def streamed(case: dict[str, Any], strict: bool = False) -> list[Any]:
    """What comes on a stream of several requests: answers, or errors."""
    came: queue.Queue[Any] = queue.Queue()
    headers = {"triton_grpc_error": "true"} if strict else None
    with tc.InferenceServerClient(case["address"]) as client:
        client.start_stream(lambda result, error: came.put((result, error)), headers=headers)
        for number, inputs in enumerate(case["requests"]):
            client.async_stream_infer(
                case["model"],
                tensors(inputs),
                request_id=str(number),
                enable_empty_final_response=True,
                parameters=case.get("parameters"),
            )
        client.stop_stream()
    found: list[Any] = []
    while not came.empty():
        result, error = came.get()
        found.append(list(error_of(error)) if error else shown(result))
    return found


def cancelled(case: dict[str, Any]) -> dict[str, Any]:
    """A call that is cancelled once the engine has it."""
    came: queue.Queue[Any] = queue.Queue()
    control = control_pb2_grpc.ControlStub(grpc.insecure_channel(case["address"]))

    def running(count: int) -> None:
        until = time.monotonic() + 30
        while control.GetLoad(control_pb2.GetLoadRequest()).running != count:
            assert time.monotonic() < until
            time.sleep(0.01)

    with tc.InferenceServerClient(case["address"]) as client:
        call = client.async_infer(
            case["model"],
            tensors(case["inputs"]),
            lambda result, error: came.put(error),
            parameters=case["parameters"],
        )
        running(1)
        call.cancel()
        error = came.get(timeout=30)
        running(0)
    return {"error": error_of(error)}


# ------------------------------------------------------------------ asynchronous
async def asynchronous(case: dict[str, Any]) -> dict[str, Any]:
    """The same unary call, and a stream of requests, by the asynchronous client."""
    name, more = case["model"], {"parameters": case.get("parameters")}

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(2):
            yield {
                "model_name": name,
                "inputs": tensors(case["inputs"]),
                "request_id": str(number),
                **more,
            }
        yield {"model_name": "other", "inputs": tensors(case["inputs"]), "request_id": "bad"}

    async with aio.InferenceServerClient(case["address"]) as client:
        answer = await client.infer(name, tensors(case["inputs"]), request_id="one", **more)
        found = [
            list(error_of(error)) if error else shown(result)
            async for result, error in client.stream_infer(requests())
        ]
        ready = await client.is_model_ready(name)
    return {"plain": shown(answer), "stream": found, "ready": ready}


def main() -> None:
    asked = json.load(sys.stdin)
    found = {
        "unary": {name: unary(case) for name, case in asked["unary"].items()},
        "aio": {name: asyncio.run(asynchronous(case)) for name, case in asked["unary"].items()},
        "failures": failures(asked["failures"]),
        "streamed": streamed(asked["streamed"]),
        "strict": streamed(asked["strict"], strict=True),
        "cancelled": cancelled(asked["cancelled"]),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
