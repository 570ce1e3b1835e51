"""Where everything lies: the cache that outlives clusters, and the folder of each cluster."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import Refused

SOURCE = Path(__file__).resolve().parent.parent
TOOLS = SOURCE / "tools"
RECIPES = SOURCE / "images"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True)
class Cache:
    """Everything that is kept between clusters; safe to delete while none is up."""

    root: Path

    @property
    def runs(self) -> Path:
        """One folder for each cluster that is up."""
        return self.root / "run"

    @property
    def locks(self) -> Path:
        """Lock files; never deleted, so that two processes always lock the same inode."""
        return self.root / "locks"

    @property
    def containerd(self) -> Path:
        """Image content and snapshots, kept so that a warm node pulls nothing."""
        return self.root / "containerd"

    @property
    def registry(self) -> Path:
        """The blobs of the local registry."""
        return self.root / "registry"

    @property
    def buildah(self) -> Path:
        """Image layers of buildah."""
        return self.root / "buildah"

    @property
    def bases(self) -> Path:
        """Working folder of the base images."""
        return self.root / "bases"

    @property
    def old_logs(self) -> Path:
        """The logs of clusters taken down."""
        return self.root / "logs"

    def run(self, name: str) -> "Run":
        """Return the folder of the cluster of that name."""
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} is no cluster name: use at most 30 of a-z, 0-9 and -")
        return Run(self.runs / name)


@dataclass(frozen=True)
class Run:
    """The folder of one running cluster; removed when it is taken down."""

    root: Path

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.root.name

    @property
    def plan(self) -> Path:
        """The decisions this cluster was started with."""
        return self.root / "plan.json"

    @property
    def starting(self) -> Path:
        """Exists until the cluster is up: one that was interrupted half way keeps it."""
        return self.root / "starting"

    @property
    def host_before(self) -> Path:
        """What the machine looked like before the node came up."""
        return self.root / "host-before.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One log file for each component."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One record for each process."""
        return self.root / "processes"

    @property
    def config(self) -> Path:
        """Configuration files of components."""
        return self.root / "config"

    @property
    def etcd(self) -> Path:
        """The data of etcd."""
        return self.root / "etcd"

    @property
    def kubelet(self) -> Path:
        """The root folder of the kubelet."""
        return self.root / "kubelet"

    @property
    def pod_logs(self) -> Path:
        """The logs of pods."""
        return self.root / "pods"

    @property
    def containerd(self) -> Path:
        """The volatile state of containerd, its socket among it."""
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """The socket of containerd."""
        return self.containerd / "containerd.sock"

    @property
    def cni(self) -> Path:
        """Network configuration and addresses given to pods."""
        return self.root / "cni"

    def log(self, component: str) -> Path:
        """Return the log file of a component."""
        return self.logs / f"{component}.log"


def cache(environ: Mapping[str, str] = os.environ) -> Cache:
    """Return the user's cache."""
    if chosen := environ.get("LEPTON_CACHE_DIR"):
        base = Path(chosen)
    elif xdg := environ.get("XDG_CACHE_HOME"):
        base = Path(xdg) / "lepton"
    else:
        base = Path(environ.get("HOME") or Path.home()) / ".cache" / "lepton"
    return Cache(base.absolute() / "localcluster")
