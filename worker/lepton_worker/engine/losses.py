"""What callers are told when a job is lost, late, or the engine itself is gone."""

import asyncio

from lepton_worker.engine.messages import LATE
from lepton_worker.engine.streams import Stream, Ticket
from lepton_worker.errors import (
    DeadlineExceeded,
    DeadlineUnattainable,
    EngineLost,
    InternalError,
    LeptonError,
    LoadOutOfMemory,
    RequestError,
)
from lepton_worker.model import Model
from lepton_worker.request import GenerateJob


def lost_while_loading(how: str) -> LeptonError:
    """Why there is no model, by the words of how the engine ended."""
    if "SIGKILL" in how:
        return LoadOutOfMemory(
            "the process that loads the model was killed, as the kernel does for lack of memory: "
            "raise the memory limit, or choose a shorter dtype or quantization"
        )
    return InternalError(f"the engine ended while it loaded the model: {how}")


def lost(stream: Stream) -> RequestError:
    """What the caller of a job is told that no further engine tries."""
    what = "after it had begun to answer" if stream.tokens else "twice while it had this request"
    written = stream.tokens if isinstance(stream.job, GenerateJob) else 0
    return EngineLost(
        f"the engine of this worker ended {what}; a new one starts",
        retry_after=1,
        metadata={"output_tokens": str(written)},
    )


def settle(
    future: "asyncio.Future[object] | asyncio.Future[Model]",
    value: object,
    error: Exception | None,
) -> None:
    """Give a future its value, or the error if there is one."""
    if error is None:
        future.set_result(value)  # type: ignore[arg-type]
    else:
        future.set_exception(error)


def for_call(ticket: Ticket, error: RequestError) -> RequestError:
    """The error of one job as that of its call, of which other jobs may have been begun.

    Such a call is late, not refused: another try would use its time up in the same way.
    """
    if isinstance(error, DeadlineUnattainable) and ticket.runs:
        return DeadlineExceeded(f"{LATE}: {error.message}")
    return error
