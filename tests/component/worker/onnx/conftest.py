"""Models that are exported once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_testing.onnx_models import write_onnx

Exported = Callable[[str], Path]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The folder of the model for a task, with safetensors and model.onnx."""
    root = tmp_path_factory.mktemp("exported")

    def folder(task: str) -> Path:
        place = root / task
        return place if place.is_dir() else write_onnx(place, task)

    return folder
