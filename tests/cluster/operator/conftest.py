"""The operator as a process of its own, with the rights that the chart gives it, and its CRD."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lepton_operator.api import crd
from lepton_testing.chart import Release, render
from lepton_testing.operator_process import OperatorProcess
from lepton_testing.space import Space
from localcluster.cluster import Cluster

INSTALLATION = Release()
USER = f"system:serviceaccount:{INSTALLATION.namespace}:lepton-operator"


@pytest.fixture(scope="session")
def definition(control_plane: Cluster) -> None:
    """The CRD, served."""
    control_plane.apply(crd.text())
    control_plane.wait(f"crd/{crd.definition()['metadata']['name']}", "Established")

    def served() -> bool:
        return bool(control_plane.kubectl("get", "lm", "-A").returncode == 0)

    control_plane.eventually(served, "LeptonModels to be served")


@pytest.fixture(scope="session")
def identity(control_plane: Cluster, definition: None) -> Path:
    """Kubeconfig of the operator's service account, without any rights so far."""
    return control_plane.kubeconfig_for(USER)


Grant = Callable[[str], None]


@pytest.fixture(scope="session")
def grant(control_plane: Cluster, identity: Path) -> Grant:
    """Gives the operator what the chart gives it for one namespace, or for all when it is empty."""

    def give(namespace: str) -> None:
        values = {"watchNamespaces": [namespace] if namespace else []}
        rights = [item for item in render(values) if item["kind"] in _RIGHTS]
        control_plane.apply([item for item in rights if item["metadata"]["name"].startswith(_NAME)])

    return give


_RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
_NAME = "lepton-operator"


@pytest.fixture
def space(control_plane: Cluster, namespace: str, definition: None) -> Space:
    """A fresh namespace, without an operator."""
    return Space(control_plane, namespace)


@pytest.fixture
def operator(
    space: Space, identity: Path, grant: Grant, tmp_path: Path
) -> Iterator[OperatorProcess]:
    """An operator for that namespace, with the rights of the chart for it, and ready."""
    grant(space.namespace)
    with OperatorProcess(identity, tmp_path, [space.namespace]) as process:
        yield process.await_ready()
