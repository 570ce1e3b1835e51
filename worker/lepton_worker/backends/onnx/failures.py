"""What onnxruntime raises, in the words of our own tree: told by the text, which is all it has."""

import logging
import re
from pathlib import Path

from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    LeptonError,
    LoadError,
    LoadOutOfMemory,
    OutOfMemory,
    RequestError,
    TaskNotSupported,
    WeightsCorrupt,
    WeightsMissing,
)

log = logging.getLogger(__name__)

DATA = re.compile(r'External data path(?: does not exist)?: "([^"]+)"')
MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")
TOO_NEW = (
    "Unsupported model IR version",
    "ONNX Runtime only *guarantees* support",
    "No Op registered for",
    "is not a registered function/op",
    "NOT_IMPLEMENTED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator had no memory left."""
    text = str(error)
    return isinstance(error, MemoryError) or any(words in text for words in MEMORY)


def load_error(error: Exception, file: Path, version: str) -> LoadError:
    """Why a graph could not be loaded."""
    if isinstance(error, LoadError):
        return error
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return LoadOutOfMemory(
            f"there was no memory left while {file} was loaded: raise the memory limit"
        )
    if data := DATA.search(text):
        return WeightsMissing(
            f"{file} keeps weights in {Path(data[1]).name}, which is not beside it; "
            "fetch or copy both files"
        )
    if any(words in text for words in TOO_NEW):
        return TaskNotSupported(
            f"onnxruntime {version} does not run {file}: {text}. "
            "Export it for an older opset, or use a newer onnxruntime"
        )
    return WeightsCorrupt(f"{file} cannot be loaded: {text}. Export, fetch or copy it again")


def request_error(error: Exception) -> RequestError:
    """Why inputs got no answer; what is a bug goes to the log."""
    if isinstance(error, RequestError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory("there was not enough memory for this request")
    log.error("the graph failed", exc_info=error)
    if "CUDA failure" in str(error) and not isinstance(error, LeptonError):
        return DeviceLost("the device failed; this worker starts again")
    return InternalError("the model failed on this request; the log says how")
