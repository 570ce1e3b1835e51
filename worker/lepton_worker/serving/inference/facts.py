"""What the protocol tells of server and model: readiness, metadata, configuration, index."""

import json
from typing import Any

from lepton_worker import __version__
from lepton_worker.engine.worker import State, Worker
from lepton_worker.errors import AdapterNotFound, ModelNotFound
from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.signatures import signature

SERVER = "lepton"
PLATFORM = "transformers_safetensors"
EXTENSIONS = ("model_configuration", "parameters", "statistics")
"""Of the protocol, as Triton names them; only what is served."""

TYPES = {
    "BOOL": "TYPE_BOOL",
    "BYTES": "TYPE_STRING",
    "FP32": "TYPE_FP32",
    "INT64": "TYPE_INT64",
    "UINT32": "TYPE_UINT32",
}
READY, UNAVAILABLE = "READY", "UNAVAILABLE"


# ------------------------------------------------------------------ names
def check_version(worker: Worker, version: str) -> None:
    """Raise ModelNotFound for a version that is not served; empty is any."""
    if version not in ("", messages.VERSION):
        served = worker.settings.model_name
        raise ModelNotFound(
            f"{served!r} has version {messages.VERSION!r} only, not {version[:64]!r}",
            metadata={"served": served},
        )


def check_name(worker: Worker, name: str, version: str) -> None:
    """Raise ModelNotFound or AdapterNotFound for what is not served.

    An empty name is the model.
    """
    served = worker.settings.model_name
    model, _, adapter = name.partition(":")
    if name and model != served:
        raise ModelNotFound(
            f"this server serves {served!r}, not {model!r}", metadata={"served": served}
        )
    if adapter and adapter not in worker.adapters:
        raise AdapterNotFound(f"{served!r} has no adapter {adapter[:64]!r}")
    check_version(worker, version)


def loaded(worker: Worker) -> Model:
    """The model, also while the worker drains; raises ModelLoading."""
    return worker.model or worker.engine().model


# ------------------------------------------------------------------ answers
def server_ready(worker: Worker) -> bool:
    """Whether a request would be taken."""
    return worker.state is State.SERVING


def model_ready(worker: Worker, request: Any) -> bool:
    """The same for a name; False for one that is not served."""
    try:
        check_name(worker, request.name, request.version)
    except (ModelNotFound, AdapterNotFound):
        return False
    return server_ready(worker)


def server_metadata() -> Any:
    """Name, version and extensions."""
    return messages.ServerMetadataResponse(name=SERVER, version=__version__, extensions=EXTENSIONS)


def model_metadata(worker: Worker, request: Any) -> Any:
    """All inputs and outputs; which of them may be left out is in the configuration."""
    check_name(worker, request.name, request.version)
    own = signature(loaded(worker))

    def shown(spec: Any) -> dict[str, Any]:
        return {"name": spec.name, "datatype": spec.datatypes[0], "shape": spec.shape}

    return messages.MetadataResponse(
        name=request.name or worker.settings.model_name,
        versions=[messages.VERSION],
        platform=PLATFORM,
        inputs=[shown(spec) for spec in own.inputs],
        outputs=[shown(spec) for spec in own.outputs],
    )


def model_config(worker: Worker, request: Any) -> Any:
    """The same in Triton's form, with optional inputs and the labels' names."""
    check_name(worker, request.name, request.version)
    model = loaded(worker)
    own = signature(model)
    answer = messages.ConfigResponse()
    config = answer.config
    config.name = request.name or worker.settings.model_name
    config.platform = PLATFORM
    config.backend = model.backend
    config.model_transaction_policy.decoupled = model.task is Task.GENERATE
    for spec in own.inputs:
        kind = TYPES[spec.datatypes[0]]
        config.input.add(name=spec.name, data_type=kind, dims=spec.shape, optional=spec.optional)
    for spec in own.outputs:
        config.output.add(name=spec.name, data_type=TYPES[spec.datatypes[0]], dims=spec.shape)
    config.parameters["max_length"].string_value = str(model.max_length)
    if model.labels:
        config.parameters["labels"].string_value = json.dumps(model.labels, ensure_ascii=False)
    return answer


def repository_index(worker: Worker, request: Any) -> Any:
    """The model and its adapters."""
    ready = server_ready(worker)
    answer = messages.IndexResponse()
    if request.ready and not ready:
        return answer
    served = worker.settings.model_name
    names = [served, *(f"{served}:{adapter}" for adapter in sorted(worker.adapters))]
    for name in names:
        answer.models.add(
            name=name,
            version=messages.VERSION,
            state=READY if ready else UNAVAILABLE,
            reason="" if ready else worker.state.value,
        )
    return answer
