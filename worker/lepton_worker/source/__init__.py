"""Where a model comes from: a folder, or the hub; checked before anything is loaded."""

from pathlib import Path

from lepton_worker.source.folder import check_folder
from lepton_worker.source.hub import SAFETENSORS, SCHEME, fetch
from lepton_worker.source.onnx import (
    BACKEND,
    check_installed,
    find_onnx,
    has_safetensors,
    installed,
    runs_onnx,
    wanted_of_hub,
)
from lepton_worker.source.vllm import check_installed as check_vllm


def find_source(
    source: str, cache_dir: Path, backend: str = "auto", quantization: str = "auto"
) -> Path:
    """The folder with the model's files, fetched if need be and checked; raises LoadError.

    Backend and quantization decide which form of the weights has to be there.
    """
    check_installed(backend)
    check_vllm(backend)
    if source.startswith(SCHEME):
        folder = _fetch(source, cache_dir, backend, quantization)
    else:
        folder = Path(source)
    check_folder(folder, backend, quantization)
    return folder


def weights_to_load(folder: Path, backend: str, quantization: str) -> list[str]:
    """Patterns of the files with weights that will be read from a checked folder."""
    if runs_onnx(backend, folder):
        return [f"{find_onnx(folder, quantization).relative_to(folder)}*"]
    return SAFETENSORS


def _fetch(source: str, cache_dir: Path, backend: str, quantization: str) -> Path:
    """Safetensors; the ONNX files in their place if asked for, or if there is nothing else."""
    if backend == BACKEND:
        return fetch(source, cache_dir, wanted_of_hub(quantization))
    folder = fetch(source, cache_dir)
    if backend == "auto" and not has_safetensors(folder) and installed():
        return fetch(source, cache_dir, wanted_of_hub(quantization))
    return folder
