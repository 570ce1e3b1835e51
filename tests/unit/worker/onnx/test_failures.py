"""What onnxruntime says, in words that say what to do."""

from pathlib import Path

import pytest

from lepton_worker.backends.onnx.failures import load_error, request_error
from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    InvalidSetting,
    LoadError,
    LoadOutOfMemory,
    OutOfMemory,
    RequestError,
    TaskNotSupported,
    WeightsCorrupt,
    WeightsMissing,
)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("7 : INVALID_PROTOBUF : Protobuf parsing failed.", WeightsCorrupt, "cannot be loaded"),
        ("out of bounds or can not be read in full.", WeightsCorrupt, "fetch or copy it again"),
        (
            'External data path escapes model directory. External data path: "w.onnx_data" res',
            WeightsMissing,
            "keeps weights in w.onnx_data, which is not beside it",
        ),
        (
            'External data path does not exist: "/models/m/w.onnx_data"',
            WeightsMissing,
            "keeps weights in w.onnx_data, which is not beside it",
        ),
        ("Unsupported model IR version: 99, max", TaskNotSupported, "onnxruntime 1.2 does not run"),
        ("Error No Op registered for Strange with", TaskNotSupported, "older opset"),
        ("Failed to allocate memory for requested buffer", LoadOutOfMemory, "raise the memory"),
        ("std::bad_alloc", LoadOutOfMemory, "m.onnx was loaded"),
    ],
)
def test_why_a_graph_was_not_loaded(text: str, kind: type[LoadError], words: str) -> None:
    error = load_error(RuntimeError(text), Path("m.onnx"), "1.2")
    assert type(error) is kind
    assert words in error.message
    assert "m.onnx" in error.message


def test_our_own_errors_stay() -> None:
    load, request = InvalidSetting("x"), OutOfMemory("y")
    assert load_error(load, Path("m.onnx"), "1.2") is load
    assert request_error(request) is request


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("indices element out of data bounds, idx=7"), InternalError),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), OutOfMemory),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("CUDA failure 700: an illegal memory access was encountered"), DeviceLost),
    ],
)
def test_why_a_request_failed(error: Exception, kind: type[RequestError]) -> None:
    failure = request_error(error)
    assert type(failure) is kind
    assert "700" not in failure.message
    assert "idx" not in failure.message
