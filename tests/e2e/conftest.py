"""Fixtures of the end-to-end tests: our images, our chart, models on a volume, real pods."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_testing import deployment, models
from lepton_testing.installation import MODELS_CLAIM, Installation
from localcluster.cluster import Cluster

KEEP_VARIABLE = "LEPTON_TEST_KEEP"
"""Leave the installation on a cluster that stays, for the next run to upgrade."""


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the encoder and the random-weight samples."""
    return models.prepare(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def built(full_cluster: Cluster) -> deployment.Images:
    """Both images, built from this tree and pushed."""
    return deployment.build(full_cluster)


@pytest.fixture(scope="session")
def lepton(full_cluster: Cluster, built: deployment.Images) -> Iterator[Installation]:
    """Lepton, installed by its chart."""
    installation = Installation(full_cluster)
    deployment.install(installation, built)
    yield installation
    if not os.environ.get(KEEP_VARIABLE):
        deployment.uninstall(installation)


@pytest.fixture
def worker_image(built: deployment.Images) -> str:
    """The worker's image (CPU), as pods name it."""
    return built.worker


@pytest.fixture
def space(lepton: Installation, namespace: str, model_folder: Path) -> str:
    """A fresh namespace in which `pvc://models/<folder>` serves the models."""
    lepton.cluster.model_volume(MODELS_CLAIM, model_folder, namespace)
    return namespace
