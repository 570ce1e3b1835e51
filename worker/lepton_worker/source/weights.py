"""Safetensors files: are all of them there, and is each of them whole?"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_worker.errors import WeightsCorrupt, WeightsMissing

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model*.bin", "model*.pt", "*.pth")

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of one element by the format's names."""

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Tensor:
    """One entry of a header; `begin` and `end` count from behind the header."""

    dtype: str
    elements: int
    begin: int
    end: int


def check_weights(folder: Path) -> None:
    """Check every file that holds weights; raises WeightsMissing or WeightsCorrupt."""
    for file, wanted in weight_files(folder).items():
        found = read_header(file)
        lacking = sorted(wanted - found.keys())
        if lacking:
            raise WeightsMissing(f"{file} lacks {lacking[0]}, which {INDEX} says it holds")


def weight_files(folder: Path) -> dict[Path, set[str]]:
    """Each file with weights, and the tensors it has to hold as far as an index says so."""
    index, single = folder / INDEX, folder / SINGLE
    if single.is_file():
        return {single: set()}
    if not index.is_file():
        raise WeightsMissing(_nothing_found(folder))
    files: dict[Path, set[str]] = {}
    for tensor, name in _weight_map(index).items():
        files.setdefault(folder / name, set()).add(tensor)
    for file in files:
        if not file.is_file():
            raise WeightsMissing(f"{file} is not there, and {INDEX} says that it holds weights")
    return files


def _weight_map(index: Path) -> dict[str, str]:
    try:
        entries = json.loads(index.read_text())["weight_map"]
        return {str(tensor): str(name) for tensor, name in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsCorrupt(f"{index} is not an index of weights: {error!r}") from None


def _nothing_found(folder: Path) -> str:
    graphs = sorted(
        file.name for where in (folder, folder / "onnx") for file in where.glob("*.onnx")
    )
    if graphs:
        return (
            f"{folder} has no safetensors, but {graphs[0]}: backend onnxruntime serves encoders "
            "from ONNX files, in a worker that has the package onnxruntime"
        )
    pickles = [file.name for pattern in PICKLES for file in folder.glob(pattern)]
    if pickles:
        return (
            f"{folder} has its weights as {pickles[0]} only. Such files can run code and are "
            "never loaded; convert them where you trust them: "
            "AutoModel….from_pretrained(folder).save_pretrained(folder) writes safetensors"
        )
    return f"{folder} has neither {SINGLE} nor {INDEX}; save the model with save_pretrained"


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, once its sizes were found to add up; raises WeightsCorrupt."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 2 <= length <= min(LONGEST_HEADER, size - LENGTH_BYTES):
            raise WeightsCorrupt(
                f"{file} ({size} bytes) is no safetensors file: its header would be {length} bytes "
                "long. Fetch or copy it again"
            )
        text = stream.read(length)
    try:
        tensors = {
            str(name): _tensor(entry)
            for name, entry in json.loads(text).items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsCorrupt(f"{file} has a header that cannot be read: {error!r}") from None
    _check_layout(file, tensors, size - LENGTH_BYTES - length)
    return tensors


def _tensor(entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(entry["dtype"], math.prod(entry["shape"]), int(begin), int(end))


def _check_layout(file: Path, tensors: dict[str, Tensor], data: int) -> None:
    """The tensors have to fill the file from the header to the end, without gap or overlap."""
    expected = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        bits = BITS.get(tensor.dtype)
        if bits is None:
            raise WeightsCorrupt(f"{file}: {name} has the unknown dtype {tensor.dtype}")
        size = tensor.end - tensor.begin
        if tensor.begin != expected or size * 8 != tensor.elements * bits:
            raise WeightsCorrupt(f"{file}: the place of {name} does not fit its shape and dtype")
        expected = tensor.end
    if expected != data:
        raise WeightsCorrupt(
            f"{file} holds {data} bytes of weights, and its header speaks of {expected}: "
            "it was cut short or damaged. Fetch or copy it again"
        )


def memory_needed(folder: Path, bits: int | None) -> int:
    """Bytes of all weights when floating-point ones have `bits` each; None is as stored."""
    total = 0
    for file in weight_files(folder):
        for tensor in read_header(file).values():
            stored = BITS[tensor.dtype]
            floating = "F" in tensor.dtype
            total += tensor.elements * (bits if bits and floating else stored) // 8
    return total
