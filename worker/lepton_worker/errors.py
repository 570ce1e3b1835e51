"""Every way in which a worker, or one request to it, fails.

LeptonError
├── LoadError                 the worker cannot serve; told in its last words, then the process ends
│   ├── SourceNotFound
│   ├── SourceUnreachable
│   ├── WeightsMissing
│   ├── WeightsCorrupt
│   ├── TaskNotSupported
│   ├── InvalidSetting
│   └── LoadOutOfMemory
└── RequestError              one request got no whole answer; the worker goes on
    ├── InvalidRequest
    │   └── ContextLengthExceeded
    ├── ModelNotFound
    ├── TaskNotServed
    ├── AdapterNotFound
    ├── AdapterRefused
    ├── QueueFull
    │   └── DeadlineUnattainable
    ├── OutOfMemory
    ├── ModelLoading
    ├── Draining
    ├── DeadlineExceeded
    ├── Cancelled
    ├── EngineLost
    └── InternalError
        └── DeviceLost        nothing can be computed any more: this one ends the worker after all

The gRPC form of a request's error is decided in `serving/status.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class LeptonError(Exception):
    """Root of the tree; the text is written for the person who has to act on it."""

    reason: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes whole, whatever their constructors take."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[LeptonError], args: tuple[Any, ...], state: dict[str, Any]) -> LeptonError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class LoadError(LeptonError):
    """The worker cannot serve; `reason` is one of the condition `ModelReady`."""


class SourceNotFound(LoadError):
    """Nothing is where the source points."""

    reason = "SourceNotFound"


class SourceUnreachable(LoadError):
    """The source may exist, but could not be read now; another try may succeed."""

    reason = "SourceUnreachable"


class WeightsMissing(LoadError):
    """A file or tensor that the model needs is not there."""

    reason = "WeightsMissing"


class WeightsCorrupt(LoadError):
    """A file is there and is not what it should be."""

    reason = "WeightsCorrupt"


class TaskNotSupported(LoadError):
    """The model is sound, but not for what it is asked to do."""

    reason = "TaskNotSupported"


class InvalidSetting(LoadError):
    """A setting is not of its kind, or does not go with the model."""

    reason = "InvalidSetting"


class LoadOutOfMemory(LoadError):
    """The model does not fit into the memory that the worker may use."""

    reason = "OutOfMemory"


@dataclass(frozen=True)
class Violation:
    """One field of a request and what is wrong with it."""

    field: str
    description: str


class RequestError(LeptonError):
    """One request failed.

    `retry_after` is in seconds: after that long another try makes sense; negative means never.
    `metadata` holds facts for programs, such as limits.
    """

    reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.metadata = metadata or {}
        self.violations: tuple[Violation, ...] = ()


class InvalidRequest(RequestError):
    """The request cannot be right, whatever the state of the server."""

    reason = "INVALID_REQUEST"

    def __init__(
        self, violations: Sequence[Violation], *, metadata: dict[str, str] | None = None
    ) -> None:
        text = "; ".join(f"{item.field}: {item.description}" for item in violations)
        super().__init__(text, metadata=metadata)
        self.violations = tuple(violations)


class ContextLengthExceeded(InvalidRequest):
    """More tokens than the model takes."""

    reason = "CONTEXT_LENGTH_EXCEEDED"


class ModelNotFound(RequestError):
    """This server serves another model."""

    reason = "MODEL_NOT_FOUND"


class TaskNotServed(RequestError):
    """The model served here does something else."""

    reason = "TASK_NOT_SUPPORTED"


class AdapterNotFound(RequestError):
    """No adapter of that name is loaded."""

    reason = "ADAPTER_NOT_FOUND"


class AdapterRefused(RequestError):
    """The adapter cannot be loaded; the text says what is wrong with it."""

    reason = "ADAPTER_REFUSED"


class QueueFull(RequestError):
    """As many requests wait as may."""

    reason = "QUEUE_FULL"


class DeadlineUnattainable(QueueFull):
    """The answer would come after the caller's deadline, so the work is not begun."""

    reason = "DEADLINE_UNATTAINABLE"


class OutOfMemory(RequestError):
    """There was no memory for this request; the same one would fail again."""

    reason = "OUT_OF_MEMORY"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=-1)


class ModelLoading(RequestError):
    """The model is not loaded yet."""

    reason = "MODEL_LOADING"


class Draining(RequestError):
    """The worker is about to end; another one has to answer."""

    reason = "DRAINING"


class DeadlineExceeded(RequestError):
    """The caller's time was over before the answer was there."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(RequestError):
    """The caller has hung up."""

    reason = "CANCELLED"


class EngineLost(RequestError):
    """The process that computes ended before the answer was there; a new one starts."""

    reason = "ENGINE_LOST"


class InternalError(RequestError):
    """A bug of ours; the text says nothing of the inside, the log does."""

    reason = "INTERNAL"


UNEXPECTED = "the worker failed on this request; its log says how"
"""What a caller is told of a bug."""


class DeviceLost(InternalError):
    """The device failed in a way that only a new process can mend."""
