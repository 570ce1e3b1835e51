"""The table from our errors to gRPC: status code, details and trailing metadata."""

from collections.abc import Sequence
from typing import TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from lepton_worker import errors
from lepton_worker.errors import RequestError

DOMAIN = "lepton"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

LONGEST_TEXT = 300
MOST_VIOLATIONS = 8

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

CODES: dict[type[RequestError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ContextLengthExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ModelNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TaskNotServed: grpc.StatusCode.UNIMPLEMENTED,
    errors.AdapterNotFound: grpc.StatusCode.NOT_FOUND,
    errors.AdapterRefused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineUnattainable: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.OutOfMemory: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ModelLoading: grpc.StatusCode.UNAVAILABLE,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.EngineLost: grpc.StatusCode.UNAVAILABLE,
    errors.InternalError: grpc.StatusCode.INTERNAL,
    errors.DeviceLost: grpc.StatusCode.INTERNAL,
}


def code_of(error: RequestError) -> grpc.StatusCode:
    """The status code of an error."""
    return CODES[type(error)]


def text_of(error: RequestError) -> str:
    """The status text: short enough for metadata."""
    return _short(error.message)


def status_of(error: RequestError) -> status_pb2.Status:
    """The error as `google.rpc.Status`, with all its details."""
    number: int = code_of(error).value[0]
    message = text_of(error)
    details = [_packed(item) for item in _details(error)]
    return status_pb2.Status(code=number, message=message, details=details)


def trailing_metadata(error: RequestError) -> Metadata:
    """Status details, and how long a client should wait before it asks again, if that is known."""
    details: Metadata = ((DETAILS_KEY, status_of(error).SerializeToString()),)
    if error.retry_after is None:
        return details
    pushback = -1 if error.retry_after < 0 else round(error.retry_after * 1000)
    return (*details, (PUSHBACK_KEY, str(pushback)))


def _details(error: RequestError) -> Sequence[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=_short(item.field), description=_short(item.description)
                    )
                    for item in error.violations[:MOST_VIOLATIONS]
                ]
            )
        )
    if error.retry_after is not None and error.retry_after >= 0:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _short(text: str) -> str:
    """Metadata has a limit of its own, and a client that gets too much of it sees another error."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
