"""Opening an ONNX file with onnxruntime: threads, memory, providers."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.onnx.failures import load_error
from lepton_worker.backends.onnx.graph import Port
from lepton_worker.errors import InvalidSetting, LoadOutOfMemory
from lepton_worker.request import Vector

log = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
SILENT = 4
"""Its own log only repeats what it raises."""


@dataclass(frozen=True)
class Session:
    """A graph that is ready to run."""

    runtime: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    provider: str

    def run(self, outputs: tuple[str, ...], feeds: dict[str, Any]) -> list[Vector]:
        """One forward; raises what onnxruntime raises."""
        arrays: list[Vector] = self.runtime.run(list(outputs), feeds)
        return arrays


def open_session(file: Path, order: LoadOrder) -> Session:
    """Load a graph; raises LoadError."""
    wanted = choose_providers(order.device, onnxruntime.get_available_providers())
    if wanted[0] == CPU:
        check_memory(file, order.memory)
    try:
        runtime = onnxruntime.InferenceSession(str(file), _options(order.threads), wanted)
    except Exception as error:
        raise load_error(error, file, onnxruntime.__version__) from error
    used = runtime.get_providers()[0]
    if order.device == "cuda" and used != CUDA:
        raise InvalidSetting("device cuda was asked for, and onnxruntime could not open a GPU")
    return Session(runtime, _ports(runtime.get_inputs()), _ports(runtime.get_outputs()), used)


def choose_providers(device: str, available: list[str]) -> list[str]:
    """Providers to try, in this order; raises InvalidSetting for a GPU that cannot be used."""
    if device == "cpu" or (device == "auto" and CUDA not in available):
        return [CPU]
    if CUDA not in available:
        raise InvalidSetting(
            "device cuda was asked for, and the installed onnxruntime runs on CPUs alone: "
            "onnxruntime-gpu is the package with CUDA"
        )
    return [CUDA, CPU]


def size_of(file: Path) -> int:
    """Bytes of a graph and of the external data beside it."""
    return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))


def check_memory(file: Path, limit: int | None) -> None:
    """Say before loading, and in figures, that the weights alone are too large."""
    needed = size_of(file)
    if limit is not None and needed > limit:
        raise LoadOutOfMemory(
            f"the weights take {needed / 2**30:.1f} GiB as {file.name}, and the worker may use "
            f"{limit / 2**30:.1f} GiB: raise the memory limit, or choose a shorter form"
        )


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    # Threads that wait must not take the quota from those that work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Patterns are kept for each shape that was ever seen, and nearly every batch has its own.
    options.enable_mem_pattern = False
    return options


def _ports(nodes: Any) -> tuple[Port, ...]:
    return tuple(Port(node.name, node.type, tuple(node.shape or ())) for node in nodes)
