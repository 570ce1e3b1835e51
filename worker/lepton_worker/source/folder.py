"""Whether a folder holds a model that can be loaded, told before loading starts."""

import json
from pathlib import Path
from typing import Any

from lepton_worker.errors import SourceNotFound, WeightsCorrupt, WeightsMissing
from lepton_worker.source.onnx import find_onnx, runs_onnx
from lepton_worker.source.weights import check_weights

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""Any one of these makes a tokenizer."""


def check_folder(folder: Path, backend: str = "auto", quantization: str = "auto") -> None:
    """Raise a LoadError that names the first thing that is missing or damaged."""
    if not folder.is_dir():
        found = "a file, not a folder" if folder.exists() else "not there"
        raise SourceNotFound(
            f"{folder} is {found}; the source has to be a folder that save_pretrained has written"
        )
    read_config(folder)
    if runs_onnx(backend, folder):
        find_onnx(folder, quantization)
    else:
        check_weights(folder)
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES):
        raise WeightsMissing(
            f"{folder} has no tokenizer ({', '.join(TOKENIZER_FILES)}); "
            "save it beside the model with tokenizer.save_pretrained"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json; raises LoadError."""
    file = folder / "config.json"
    if not file.is_file():
        raise WeightsMissing(
            f"{folder} has no config.json; "
            "the source has to be a folder that save_pretrained has written"
        )
    return read_json(file)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file; raises WeightsCorrupt."""
    try:
        content = json.loads(file.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise WeightsCorrupt(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise WeightsCorrupt(f"{file} holds no JSON object")
    return content
