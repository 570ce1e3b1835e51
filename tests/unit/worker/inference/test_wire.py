"""Names and numbers of the protocol: those that its other servers and clients have."""

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.serving import orca
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.signatures import signature

TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}
TENSOR = "name=1 string, datatype=2 string, shape=3 int64[], parameters=4 message[]"
STATISTIC = "success=1, fail=2, queue=3, compute_input=4, compute_infer=5, compute_output=6"
WIRE = {
    "ServerLiveResponse": "live=1 bool",
    "ServerReadyResponse": "ready=1 bool",
    "ModelReadyRequest": "name=1 string, version=2 string",
    "ModelReadyResponse": "ready=1 bool",
    "ServerMetadataResponse": "name=1 string, version=2 string, extensions=3 string[]",
    "ModelMetadataRequest": "name=1 string, version=2 string",
    "ModelMetadataResponse": (
        "name=1 string, versions=2 string[], platform=3 string, inputs=4 message[], "
        "outputs=5 message[]"
    ),
    "ModelMetadataResponse.TensorMetadata": "name=1 string, datatype=2 string, shape=3 int64[]",
    "ModelInferRequest": (
        "model_name=1 string, model_version=2 string, id=3 string, parameters=4 message[], "
        "inputs=5 message[], outputs=6 message[], raw_input_contents=7 bytes[]"
    ),
    "ModelInferRequest.InferInputTensor": f"{TENSOR}, contents=5 message",
    "ModelInferRequest.InferRequestedOutputTensor": "name=1 string, parameters=2 message[]",
    "ModelInferResponse": (
        "model_name=1 string, model_version=2 string, id=3 string, parameters=4 message[], "
        "outputs=5 message[], raw_output_contents=6 bytes[]"
    ),
    "ModelInferResponse.InferOutputTensor": f"{TENSOR}, contents=5 message",
    "ModelStreamInferResponse": "error_message=1 string, infer_response=2 message",
    "InferParameter": (
        "bool_param=1 bool, int64_param=2 int64, string_param=3 string, double_param=4 double, "
        "uint64_param=5 uint64"
    ),
    "InferTensorContents": (
        "bool_contents=1 bool[], int_contents=2 int32[], int64_contents=3 int64[], "
        "uint_contents=4 uint32[], uint64_contents=5 uint64[], fp32_contents=6 float[], "
        "fp64_contents=7 double[], bytes_contents=8 bytes[]"
    ),
    "ModelConfigResponse": "config=1 message",
    "ModelConfig": (
        "name=1 string, platform=2 string, max_batch_size=4 int32, input=5 message[], "
        "output=6 message[], parameters=14 message[], backend=17 string, "
        "model_transaction_policy=19 message"
    ),
    "ModelInput": "name=1 string, data_type=2 enum, dims=4 int64[], optional=8 bool",
    "ModelOutput": "name=1 string, data_type=2 enum, dims=3 int64[]",
    "ModelStatisticsResponse": "model_stats=1 message[]",
    "ModelStatistics": (
        "name=1 string, version=2 string, last_inference=3 uint64, inference_count=4 uint64, "
        "execution_count=5 uint64, inference_stats=6 message"
    ),
    "InferStatistics": ", ".join(f"{field} message" for field in STATISTIC.split(", ")),
    "StatisticDuration": "count=1 uint64, ns=2 uint64",
    "RepositoryIndexResponse.ModelIndex": (
        "name=1 string, version=2 string, state=3 string, reason=4 string"
    ),
}
REPORT = (
    "cpu_utilization=1 double, mem_utilization=2 double, request_cost=4 message[], "
    "utilization=5 message[], rps_fractional=6 double, eps=7 double, "
    "named_metrics=8 message[], application_utilization=9 double"
)


def shown(pool: descriptor_pool.DescriptorPool, name: str) -> str:
    fields = pool.FindMessageTypeByName(name).fields
    return ", ".join(
        f"{field.name}={field.number} {TYPES[field.type]}{'[]' if field.is_repeated else ''}"
        for field in fields
    )


@pytest.mark.parametrize("name", WIRE)
def test_messages_of_the_protocol(name: str) -> None:
    assert shown(messages.POOL.pool, f"inference.{name}") == WIRE[name]


def test_messages_of_load_reports() -> None:
    assert shown(orca.POOL.pool, "xds.data.orca.v3.OrcaLoadReport") == REPORT
    request = shown(orca.POOL.pool, "xds.service.orca.v3.OrcaLoadReportRequest")
    assert request == "report_interval=1 message, request_cost_names=2 string[]"


def test_nothing_of_it_is_registered_for_the_whole_process() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName("inference/inference.proto")
    assert messages.InferRequest.DESCRIPTOR.file.pool is messages.POOL.pool


@pytest.mark.parametrize("task", Task)
def test_every_task_has_inputs_and_outputs(task: Task) -> None:
    model: Model = Model(
        task=task,
        offers=frozenset([task]),
        architecture="",
        backend="",
        device="",
        dtype="",
        max_length=8,
        vocabulary=8,
        tokenizer=None,  # type: ignore[arg-type]
        labels=("a", "b"),
        dimensions=4,
    )
    found = signature(model)
    names = [name for spec in found.inputs for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    assert any(not spec.optional for spec in found.inputs)
    sizes = {spec.name: spec.shape for spec in found.outputs}
    assert all(shape[0] == -1 for shape in sizes.values())
    assert sizes.get("embedding", (-1, 4)) == (-1, 4)
    assert sizes.get("logits", (-1, 2)) == (-1, 2)
