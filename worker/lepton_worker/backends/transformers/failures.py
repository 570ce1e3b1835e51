"""What torch and transformers raise, in the words of our own tree."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import safetensors
import torch

from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    LeptonError,
    LoadOutOfMemory,
    OutOfMemory,
    TaskNotSupported,
    WeightsCorrupt,
)

log = logging.getLogger(__name__)

NOT_FINITE = (
    "the model answers a trial input with numbers that are not finite: "
    "its weights are damaged, or its dtype is too narrow for them"
)
"""What a warm-up says of weights that came whole and are still wrong."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator, of the CPU or a GPU, had no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return "can't allocate memory" in text or "not enough memory" in text


@contextlib.contextmanager
def load_failures(folder: Path | None) -> Iterator[None]:
    """Turn what fails while loading into a LoadError."""
    try:
        yield
    except LeptonError:
        raise
    except safetensors.SafetensorError as error:
        raise WeightsCorrupt(f"a weights file in {folder} cannot be read: {error}") from error
    except ImportError as error:
        raise TaskNotSupported(
            f"the model needs a package that this worker does not have: {error}"
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise LoadOutOfMemory(
                "there was no memory left while the model was loaded: raise the memory limit, "
                "or choose a shorter dtype"
            ) from error
        raise


@contextlib.contextmanager
def request_failures() -> Iterator[None]:
    """Turn what fails while answering into a RequestError; bugs go to the log."""
    try:
        yield
    except LeptonError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise OutOfMemory("there was not enough memory for this request") from error
        log.exception("the model failed")
        if isinstance(error, torch.AcceleratorError):
            raise DeviceLost("the device failed; this worker starts again") from error
        raise InternalError("the model failed on this request; the log says how") from error
