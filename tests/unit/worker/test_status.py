"""The table from errors to gRPC: every row of it, with code, reason, details and metadata."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from lepton_worker import errors
from lepton_worker.errors import RequestError, Violation
from lepton_worker.serving.status import (
    CODES,
    DETAILS_KEY,
    PUSHBACK_KEY,
    code_of,
    status_of,
    text_of,
    trailing_metadata,
)

Code = grpc.StatusCode
VIOLATIONS = [Violation("inputs[0]", "must not be empty")]

ROWS: list[tuple[RequestError, grpc.StatusCode, str, str | None]] = [
    (errors.InvalidRequest(VIOLATIONS), Code.INVALID_ARGUMENT, "INVALID_REQUEST", None),
    (
        errors.ContextLengthExceeded(VIOLATIONS, metadata={"max_length": "8"}),
        Code.INVALID_ARGUMENT,
        "CONTEXT_LENGTH_EXCEEDED",
        None,
    ),
    (errors.ModelNotFound("x"), Code.NOT_FOUND, "MODEL_NOT_FOUND", None),
    (errors.TaskNotServed("x"), Code.UNIMPLEMENTED, "TASK_NOT_SUPPORTED", None),
    (errors.AdapterNotFound("x"), Code.NOT_FOUND, "ADAPTER_NOT_FOUND", None),
    (errors.AdapterRefused("x"), Code.FAILED_PRECONDITION, "ADAPTER_REFUSED", None),
    (
        errors.DeadlineUnattainable("x", retry_after=3.0),
        Code.RESOURCE_EXHAUSTED,
        "DEADLINE_UNATTAINABLE",
        "3000",
    ),
    (errors.EngineLost("x", retry_after=1.0), Code.UNAVAILABLE, "ENGINE_LOST", "1000"),
    (errors.QueueFull("x", retry_after=0.7), Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "700"),
    (errors.OutOfMemory("x"), Code.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "-1"),
    (errors.ModelLoading("x", retry_after=2.0), Code.UNAVAILABLE, "MODEL_LOADING", "2000"),
    (errors.Draining("x", retry_after=1.0), Code.UNAVAILABLE, "DRAINING", "1000"),
    (errors.DeadlineExceeded("x"), Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", None),
    (errors.Cancelled("x"), Code.CANCELLED, "CANCELLED", None),
    (errors.InternalError("x"), Code.INTERNAL, "INTERNAL", None),
    (errors.DeviceLost("x"), Code.INTERNAL, "INTERNAL", None),
]


def every_kind(kind: type[RequestError]) -> set[type[RequestError]]:
    return {kind}.union(*(every_kind(child) for child in kind.__subclasses__()))


def test_every_error_of_a_request_has_its_row() -> None:
    kinds = every_kind(RequestError) - {RequestError}
    assert set(CODES) == kinds
    assert {type(error) for error, *_ in ROWS} == kinds


def details(error: RequestError) -> dict[str, Any]:
    known = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        )
    }
    found = {}
    for packed in status_of(error).details:
        kind = known[packed.TypeName()]
        message = kind()
        assert packed.Unpack(message)
        found[kind.__name__] = message
    return found


@pytest.mark.parametrize(("error", "code", "reason", "pushback"), ROWS)
def test_row(error: RequestError, code: grpc.StatusCode, reason: str, pushback: str | None) -> None:
    assert code_of(error) is code
    metadata = dict(trailing_metadata(error))
    assert metadata.get(PUSHBACK_KEY) == pushback
    status = status_pb2.Status.FromString(metadata[DETAILS_KEY])
    assert status == status_of(error)
    assert (status.code, status.message) == (code.value[0], error.message)
    info = details(error)["ErrorInfo"]
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "lepton", error.metadata)


@pytest.mark.parametrize(("error", "code", "reason", "pushback"), ROWS)
def test_more_details_come_where_they_help(
    error: RequestError, code: grpc.StatusCode, reason: str, pushback: str | None
) -> None:
    found = details(error)
    assert ("BadRequest" in found) == (code is Code.INVALID_ARGUMENT)
    if "BadRequest" in found:
        shown = found["BadRequest"].field_violations
        assert [(item.field, item.description) for item in shown] == [
            ("inputs[0]", "must not be empty")
        ]
    waits = pushback is not None and pushback != "-1"
    assert ("RetryInfo" in found) == waits
    if waits and pushback is not None:
        delay = found["RetryInfo"].retry_delay
        assert delay.seconds * 1000 + delay.nanos // 10**6 == int(pushback)


def test_a_flood_of_violations_still_fits_into_metadata() -> None:
    flood = errors.InvalidRequest([Violation("f" * 5000, "d" * 5000)] * 5000)
    assert len(text_of(flood)) <= 301
    size = sum(len(key) + len(value) for key, value in trailing_metadata(flood))
    assert size < 8000
