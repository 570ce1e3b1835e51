"""ONNX files: which of a folder's a worker loads, and when it loads any."""

import importlib.util
from pathlib import Path

from lepton_worker.errors import InvalidSetting, WeightsMissing
from lepton_worker.source.weights import INDEX, SINGLE

BACKEND = "onnxruntime"
PACKAGE = "onnxruntime"
SUBFOLDER = "onnx"
"""Where exporters put the files when the model's own weights are beside them."""

NAMES = {
    "auto": ("model.onnx",),
    "none": ("model.onnx",),
    "float16": ("model_fp16.onnx",),
    "int8": ("model_quantized.onnx", "model_int8.onnx"),
}
"""The file's name by the setting for quantization; of several the first that is there."""


def candidates(quantization: str) -> tuple[str, ...]:
    """Paths in the folder that may be loaded, best first; raises InvalidSetting."""
    names = NAMES.get(quantization)
    if names is None:
        raise InvalidSetting(
            f"quantization {quantization} has no ONNX file of its own; "
            f"backend {BACKEND} takes {', '.join(NAMES)}"
        )
    return tuple(path for name in names for path in (name, f"{SUBFOLDER}/{name}"))


def find_onnx(folder: Path, quantization: str) -> Path:
    """The file to load; raises WeightsMissing with those that are there."""
    wanted = candidates(quantization)
    for name in wanted:
        if (folder / name).is_file():
            return folder / name
    found = onnx_files(folder)
    there = f"; it has {', '.join(found)}" if found else ""
    raise WeightsMissing(
        f"{folder} has no {' or '.join(wanted)}, which quantization {quantization} takes{there}"
    )


def onnx_files(folder: Path) -> list[str]:
    """The graphs in a folder, by their paths in it."""
    files = [*folder.glob("*.onnx"), *folder.glob(f"{SUBFOLDER}/*.onnx")]
    return sorted(file.relative_to(folder).as_posix() for file in files)


def wanted_of_hub(quantization: str) -> list[str]:
    """Patterns of the files to fetch: graphs that may be loaded, with external data beside them.

    Data has the graph's name with something behind it: `model.onnx_data`, `model.onnx.data`.
    """
    known = quantization if quantization in NAMES else "auto"
    return [f"{path}*" for path in candidates(known)]


def installed() -> bool:
    """Whether this worker has what runs ONNX files, told without importing it."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_installed(backend: str) -> None:
    """Raise InvalidSetting when the backend's package is asked for and not there."""
    if backend == BACKEND and not installed():
        raise InvalidSetting(
            f"backend {BACKEND} needs the package {PACKAGE}, which this worker does not have: "
            "install lepton with its extra onnx (on a GPU onnxruntime-gpu), or use an image that "
            "has it; backend auto serves models with safetensors without it"
        )


def has_safetensors(folder: Path) -> bool:
    """Whether there is anything that the other backends load."""
    return (folder / SINGLE).is_file() or (folder / INDEX).is_file()


def runs_onnx(backend: str, folder: Path) -> bool:
    """Whether a folder is served from ONNX: as asked, or for `auto` where it has nothing else."""
    if backend != "auto":
        return backend == BACKEND
    return not has_safetensors(folder) and bool(onnx_files(folder)) and installed()
