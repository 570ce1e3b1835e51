"""Tests that need vLLM; without it nothing of this folder is collected. `make test-vllm` has it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """vLLM warns of much that is not ours."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family."""
    from lepton_testing.vllm_models import FAMILIES, write_model

    base = tmp_path_factory.mktemp("vllm")
    return {family: write_model(base / family, family) for family in FAMILIES}


@pytest.fixture(scope="session")
def engine(folders: dict[str, Path]) -> Iterator[object]:
    """A backend with the model `llama`, and the facts: (backend, model)."""
    from lepton_worker.backends.base import LoadOrder
    from lepton_worker.backends.vllm.backend import VllmBackend
    from lepton_worker.request import Task

    backend = VllmBackend()
    order = LoadOrder(folders["llama"], Task.GENERATE, device="cpu", slots=2, memory=8 * 2**30)
    model = backend.load(order)
    backend.warm_up()
    yield backend, model
    backend.close()
