"""A cluster of somebody else, named by its kubeconfig, as far as tests can use it."""

from pathlib import Path

from localcluster import addresses
from localcluster.cluster import Cluster, attach
from localcluster.errors import Refused
from localcluster.kubectl import Kubectl
from localcluster.paths import Run, cache
from localcluster.plan import Plan
from localcluster.progress import Progress


class Borrowed(Cluster):
    """What this package did not start: kubectl works, everything below the API is refused."""

    def __init__(self, kubeconfig: Path) -> None:
        self._cache = cache()
        self._progress = Progress()
        Kubectl.__init__(self, self.tool("kubectl"), kubeconfig)

    @property
    def name(self) -> str:
        """The name of the current context."""
        return self.kubectl("config", "current-context").stdout.strip()

    @property
    def server(self) -> str:
        """The address of the API server."""
        path = "jsonpath={.clusters[0].cluster.server}"
        return self.kubectl("config", "view", "--minify", "-o", path).stdout

    @property
    def host_ip(self) -> str:
        """The non-loopback address of this machine."""
        return addresses.host_ip()

    @property
    def has_node(self) -> bool:
        """Whether it has any node."""
        return bool(self.get("nodes")["items"])

    @property
    def node_name(self) -> str:
        """The name of its first node."""
        return str(self.get("nodes")["items"][0]["metadata"]["name"])

    def down(self) -> None:
        """Leave it as it is: it is not ours."""

    @property
    def _plan(self) -> Plan:  # type: ignore[override]
        raise self._refusal()

    @property
    def _run(self) -> Run:  # type: ignore[override]
        raise self._refusal()

    def _refusal(self) -> Refused:
        return Refused(
            f"{self.kubeconfig} is no cluster of this package, so its components, images and keys "
            "are out of reach: unset LEPTON_TEST_KUBECONFIG for this test"
        )


def by_kubeconfig(kubeconfig: Path) -> Cluster:
    """Return the cluster a kubeconfig leads to: one of ours with everything, or a borrowed one."""
    run = kubeconfig.resolve().parent
    if run.parent == cache().runs.resolve():
        return attach(run.name)
    if not kubeconfig.is_file():
        raise Refused(f"there is no kubeconfig {kubeconfig}")
    return Borrowed(kubeconfig)
