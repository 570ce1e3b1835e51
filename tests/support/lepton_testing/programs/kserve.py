"""What kserve's own client makes of a worker."""

import asyncio
import importlib
import json
import sys
from typing import Any

import numpy as np

kserve: Any = importlib.import_module("kserve")
errors: Any = importlib.import_module("kserve.errors")


def request(case: dict[str, Any], raw: bool) -> Any:
    """A request with raw or with typed contents."""
    inputs = []
    for name, values in case["inputs"].items():
        kind, dtype = kind_of(values[0])
        shape = list(np.shape(values))
        data = [item.encode() for item in values] if kind == "BYTES" else np.ravel(values).tolist()
        if raw:
            tensor = kserve.InferInput(name=name, shape=shape, datatype=kind)
            array = np.array(data if kind == "BYTES" else values)
            tensor.set_data_from_numpy(array.astype(dtype))
        else:
            tensor = kserve.InferInput(name=name, shape=shape, datatype=kind, data=data)
        inputs.append(tensor)
    return kserve.InferRequest(
        model_name=case["model"],
        infer_inputs=inputs,
        request_id="one",
        parameters=case.get("parameters"),
    )


def kind_of(value: Any) -> tuple[str, Any]:
    """Datatype of an input, and that of its array."""
    kinds = {str: ("BYTES", np.object_), bool: ("BOOL", np.bool_), int: ("INT64", np.int64)}
    return kinds.get(type(value), kinds[int])


def shown(response: Any) -> dict[str, Any]:
    """An answer with every output as numpy sees it."""
    outputs = {}
    for output in response.outputs:
        array = output.as_numpy()
        texts = array.dtype.kind == "O"
        values = [item.decode() for item in array.ravel()] if texts else array.tolist()
        outputs[output.name] = {"shape": list(array.shape), "values": values}
    return {
        "id": response.id,
        "model": (response.model_name, response.model_version),
        "outputs": outputs,
        "parameters": {
            name: getattr(item, item.WhichOneof("parameter_choice"))
            for name, item in (response.parameters or {}).items()
        },
    }


async def asked_of(client: Any, case: dict[str, Any]) -> dict[str, Any]:
    name = case["model"]
    found = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model_ready": await client.is_model_ready(name),
        "raw": shown(await client.infer(request(case, raw=True))),
        "typed": shown(await client.infer(request(case, raw=False))),
    }
    try:
        await client.infer(request({**case, "model": "other"}, raw=True))
        found["failure"] = "answered"
    except Exception as error:
        found["failure"] = str(error)
    return found


async def work(asked: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, case in asked.items():
        async with kserve.InferenceGRPCClient(case["address"]) as client:
            found[name] = await asked_of(client, case)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(work(json.load(sys.stdin)))))
