"""Fixtures: a control plane, a cluster with a node, and fresh namespaces in them."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from localcluster import borrowed, cluster, lifecycle, processes
from localcluster.cluster import Cluster
from localcluster.errors import NodeTaken
from localcluster.paths import cache
from localcluster.plan import Options
from localcluster.waiting import until

# An existing cluster to test against, ours or not; it is left as it is.
KUBECONFIG_VARIABLE = "LEPTON_TEST_KUBECONFIG"
# How long to wait for another cluster to give back the machine's node, in seconds.
WAIT_VARIABLE = "LEPTON_TEST_WAIT"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A control plane for the whole session."""
    yield from _cluster(f"pytest-{os.getpid()}", Options(node=False))


@pytest.fixture(scope="session")
def full_cluster() -> Iterator[Cluster]:
    """A cluster whose node runs pods, for the whole session."""
    yield from _cluster(f"pytest-{os.getpid()}-node", Options(node=True))


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace: on the node's cluster in tests marked e2e, else on the control plane."""
    with cluster_of(request).namespace() as name:
        yield name


@pytest.fixture
def free_machine() -> None:
    """Nothing: the test brings up nodes of its own, and runs before full_cluster takes the node."""
    if os.environ.get(KUBECONFIG_VARIABLE):
        pytest.skip(f"{KUBECONFIG_VARIABLE} names a cluster, which may have the machine's node")
    until(lambda: not lifecycle.node_clusters(cache()), "a free node", _patience() or 1)


def cluster_of(request: pytest.FixtureRequest) -> Cluster:
    """Return the cluster a test's own markers call for."""
    marked_e2e = request.node.get_closest_marker("e2e") is not None
    found = request.getfixturevalue("full_cluster" if marked_e2e else "control_plane")
    assert isinstance(found, Cluster)
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what needs the machine's node for itself."""
    items.sort(key=lambda item: "free_machine" not in getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the cluster says of the test's namespace, while it still exists."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    if call.when == "call" and report.failed and "namespace" in arguments:
        for name in ("full_cluster", "control_plane"):
            if isinstance(used := arguments.get(name), Cluster):
                story = used.story(arguments["namespace"])
                report.sections.append((f"namespace {arguments['namespace']}", story))
                break
    return report


def _cluster(name: str, options: Options) -> Iterator[Cluster]:
    if existing := os.environ.get(KUBECONFIG_VARIABLE):
        yield borrowed.by_kubeconfig(Path(existing))
        return
    made = _create(name, options)
    try:
        yield made
    finally:
        made.down()


def _create(name: str, options: Options) -> Cluster:
    # Bound to this process: even a killed session leaves nothing behind.
    owner = processes.current()
    if not options.node or not _patience():
        return cluster.create(name, options, owner=owner)

    def once_free() -> Cluster | None:
        try:
            return cluster.create(name, options, owner=owner)
        except NodeTaken:  # by a cluster that is up, or by one that was quicker than we
            return None

    return until(once_free, "a free node", _patience())


def _patience() -> float:
    return float(os.environ.get(WAIT_VARIABLE, "0"))
