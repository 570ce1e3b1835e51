"""A control plane of its own: the chart owns objects of which a cluster can have only one."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lepton_testing.chart import CHART, REQUIRED, Values, merged, run_helm
from localcluster import cluster, processes
from localcluster.cluster import Cluster
from localcluster.plan import Options
from localcluster.pytest_plugin import KUBECONFIG_VARIABLE

DEFINITION = "leptonmodels.lepton.ai"


@dataclass(frozen=True)
class Release:
    """A release of the chart in a namespace of its own, which may not be installed yet."""

    cluster: Cluster
    namespace: str
    name: str = "lepton"
    flags: Sequence[str] = field(default=())
    """Options of every installation and upgrade."""

    def install(self, values: Values | None = None, *flags: str) -> None:
        """Install with the required values and these; raises Refused."""
        self._apply("install", CHART, values, *flags)

    def upgrade(self, values: Values | None = None, *, chart: Path = CHART) -> None:
        """Upgrade to these values, or to another chart; raises Refused."""
        self._apply("upgrade", chart, values)

    def uninstall(self) -> None:
        """Remove the release if it is there."""
        command = ["uninstall", self.name, "--namespace", self.namespace, "--ignore-not-found"]
        run_helm(*command, env=self.cluster.env())

    def await_definition(self) -> None:
        """Wait until the API server serves LeptonModels."""

        def served() -> bool:
            return bool(self.cluster.kubectl("explain", "leptonmodels.spec").stdout)

        self.cluster.eventually(served, "LeptonModels to be served")

    def drop_definition(self) -> None:
        """Delete the definition, however it was left."""
        # The API server now and then forgets a definition that goes soon after it came, until it
        # is touched again.
        command = ("delete", "crd", DEFINITION, "--ignore-not-found", "--timeout=10s")

        def gone() -> bool:
            return self.cluster.kubectl(*command, check=False).returncode == 0

        self.cluster.eventually(gone, "the definition to be deleted")

    def _apply(self, verb: str, chart: Path, values: Values | None, *flags: str) -> None:
        where = ["--namespace", self.namespace, *self.flags, *flags]
        text = yaml.safe_dump(merged(REQUIRED, values or {}))
        command = [verb, self.name, str(chart), *where, "--values", "-"]
        run_helm(*command, input_text=text, env=self.cluster.env())


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster on which nothing of Lepton is installed."""
    if os.environ.get(KUBECONFIG_VARIABLE):
        yield request.getfixturevalue("control_plane")
        return
    name = f"pytest-{os.getpid()}-chart"
    made = cluster.create(name, Options(node=False), owner=processes.current())
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def space(plane: Cluster) -> Iterator[Callable[[], str]]:
    """Makes fresh namespaces that warn of pods which are not confined; gone afterwards."""
    with ExitStack() as made:

        def create() -> str:
            name = made.enter_context(plane.namespace("chart"))
            plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/warn=restricted")
            return name

        yield create


@pytest.fixture(params=["true", "false"], ids=["server-side", "three-way"])
def method(request: pytest.FixtureRequest) -> str:
    """How Helm applies: server-side as Helm 4 does, or by the three-way merge of Helm 3."""
    return f"--server-side={request.param}"


@pytest.fixture
def release(plane: Cluster, space: Callable[[], str]) -> Iterator[Release]:
    """A release that is not installed yet; afterwards neither it nor the definition is there."""
    yield from _released(Release(plane, space()))


@pytest.fixture
def release_by(plane: Cluster, space: Callable[[], str], method: str) -> Iterator[Release]:
    """The same, once for each way in which Helm applies."""
    yield from _released(Release(plane, space(), flags=(method,)))


def _released(release: Release) -> Iterator[Release]:
    try:
        yield release
    finally:
        release.uninstall()
        release.drop_definition()
