"""One running cluster as tests and scripts see it."""

import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster import (
    binaries,
    components,
    health,
    images,
    kubeconfigs,
    lifecycle,
    manifests,
    simulation,
    teardown,
)
from localcluster.configs import REGISTRY
from localcluster.errors import LocalClusterError, Refused
from localcluster.images import Image
from localcluster.kubectl import Kubectl
from localcluster.paths import Cache, Run, cache
from localcluster.pki import KeyPair, Pki, issue
from localcluster.plan import Options, Plan
from localcluster.processes import Process
from localcluster.progress import Progress
from localcluster.supervisor import Supervisor


class Cluster(Kubectl):
    """A cluster of this package that is up."""

    def __init__(self, plan: Plan, where: Cache, progress: Progress) -> None:
        self._plan = plan
        self._cache = where
        self._progress = progress
        self._run: Run = where.run(plan.name)
        self._supervisor = Supervisor(self._run)
        super().__init__(self.tool("kubectl"), self._run.kubeconfig)

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self._plan.name

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._plan.server

    @property
    def host_ip(self) -> str:
        """The non-loopback address of this machine."""
        return self._plan.host_ip

    @property
    def has_node(self) -> bool:
        """Whether pods run here."""
        return self._plan.options.node

    @property
    def node_name(self) -> str:
        """The name of the node that runs pods."""
        if not self.has_node:
            raise Refused(f"cluster {self.name} has no node: it is only a control plane")
        return self._plan.node_name

    @property
    def registry(self) -> str:
        """The first part of the references of images pushed here."""
        return REGISTRY

    @property
    def pki(self) -> Pki:
        """Keys and certificates."""
        return Pki(self._run.pki)

    def tool(self, name: str) -> Path:
        """Return the path of kubectl, helm, grpcurl or any other program, built if need be."""
        for tool in (*binaries.ALL, binaries.KWOK):
            if name in tool.commands:
                return binaries.Binaries(self._cache, self._progress).ensure(tool)[name]
        raise Refused(f"{name!r} is no program of the local cluster")

    def env(self) -> dict[str, str]:
        """Return our environment with KUBECONFIG set and our kubectl first on the PATH."""
        path = f"{self.tool('kubectl').parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def logs(self, component: str, lines: int = 50) -> str:
        """Return the last lines of a component's log."""
        return self._supervisor.tail(component, lines)

    def all_components(self) -> dict[str, bool]:
        """Return every component, and whether it runs."""
        return {name: self._supervisor.is_running(name) for name in self._supervisor.names()}

    def stop(self, component: str) -> None:
        """Stop a component, as if it had crashed for good."""
        self._supervisor.stop(component)

    def start(self, component: str, flags: Mapping[str, str] | None = None) -> None:
        """Start a stopped component and wait for it; flags replace or add, an empty one removes."""
        self._supervisor.start_again(component, flags)
        health.await_ready(component, self._plan, self.pki, self._supervisor)

    def restart(self, component: str, flags: Mapping[str, str] | None = None) -> None:
        """Stop and start a component."""
        self.stop(component)
        self.start(component, flags)

    def set_gpus(
        self, count: int, resource: str = "nvidia.com/gpu", node: str | None = None
    ) -> None:
        """Have a node offer that many devices that do not exist; 0 takes the offer back."""
        target = node or self.node_name
        offered = self.get("node", target)["status"]["capacity"]
        if count == 0 and resource not in offered:
            return
        patch = json.dumps(manifests.capacity_patch(resource, count))
        self.kubectl(
            "patch", "node", target, "--subresource=status", "--type=json", f"--patch={patch}"
        )

    def add_node(self, name: str, capacity: Mapping[str, str]) -> None:
        """Register a node that nothing stands behind; it lives on if simulate() was called."""
        manifest = manifests.bare_node(name, capacity)
        self.kubectl("create", "-f", "-", input=json.dumps(manifest))

    def simulate(self, load_seconds: float = 0) -> None:
        """Have nodes of add_node(), and the pods on them, live; pods are ready after that while."""
        (self._run.config / "stages.yaml").write_text(simulation.stages(load_seconds))
        if simulation.COMPONENT in self._supervisor.names():
            self._supervisor.stop(simulation.COMPONENT)
        flags = simulation.flags(self._plan, self._run)
        argv = components.command(self.tool(simulation.COMPONENT), flags)
        self._supervisor.launch(simulation.COMPONENT, argv)
        health.await_ready(simulation.COMPONENT, self._plan, self.pki, self._supervisor)

    def client_certificate(
        self, common_name: str, groups: Sequence[str] = (), *, ca: str = "cluster"
    ) -> KeyPair:
        """Sign a client certificate with either authority: cluster or front-proxy."""
        authorities = {"cluster": self.pki.cluster_ca, "front-proxy": self.pki.front_proxy_ca}
        if ca not in authorities:
            raise Refused(f"there is no authority {ca!r}: choose one of {', '.join(authorities)}")
        target = self.pki.pair(f"issued-{secrets.token_hex(4)}")
        return issue(authorities[ca], target, common_name, groups)

    def kubeconfig_for(self, common_name: str, groups: Sequence[str] = ()) -> Path:
        """Write the kubeconfig of another user."""
        user = self.client_certificate(common_name, groups)
        path = user.cert.with_suffix(".kubeconfig")
        path.touch(mode=0o600)
        path.write_text(kubeconfigs.for_pair(common_name, self.server, self.pki.cluster_ca, user))
        return path

    def host_service(self, name: str, namespace: str, port: int, target_port: int) -> None:
        """Make a Service that leads to a process on this machine, listening on host_ip."""
        self.apply(manifests.host_service(name, namespace, self.host_ip, port, target_port))

    def model_volume(
        self, claim: str, folder: Path, namespace: str, *, mode: str = "ReadOnlyMany"
    ) -> None:
        """Offer a folder of this machine to pods, as the claim of pvc://claim/path."""
        if not folder.is_dir():
            raise Refused(f"{folder} is no folder: a model volume needs one")
        if closed := next(
            (path for path in (folder, *folder.rglob("*")) if _is_closed(path)), None
        ):
            raise Refused(
                f"{closed} is not readable for pods, which run as users of their own: "
                f"chmod -R o+rX {folder}"
            )
        self.apply(manifests.model_volume(claim, namespace, folder.resolve(), mode))
        bound = "jsonpath={.status.phase}=Bound"
        self.wait(f"persistentvolumeclaim/{claim}", bound, namespace=namespace, timeout=30)

    def push(self, image: Image) -> str:
        """Bring an image where the node pulls from; return its reference for pods."""
        if not self.has_node:
            raise Refused(f"cluster {self.name} has no node, so nothing would pull an image")
        return images.push(image, self._plan.ports.registry, self._cache, self._progress)

    def down(self) -> None:
        """Take the cluster down, and see that nothing of it is left."""
        lifecycle.down(self.name, self._cache, self._progress)
        if left := teardown.left_by(self._run, self._cache, node=self.has_node):
            raise LocalClusterError(f"cluster {self.name} left behind: {'; '.join(left)}")


def _is_closed(path: Path) -> bool:
    mode = path.stat().st_mode
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & wanted != wanted


def create(
    name: str,
    options: Options,
    *,
    owner: Process | None = None,
    progress: Progress | None = None,
) -> Cluster:
    """Bring a cluster up; with an owner, it goes when that process ends."""
    progress = progress or Progress()
    where = cache()
    return Cluster(lifecycle.up(name, options, where, progress, owner), where, progress)


def attach(name: str, *, progress: Progress | None = None) -> Cluster:
    """Return a cluster that is up already."""
    where = cache()
    plan = lifecycle.standing(where.run(name))
    if plan is None:
        raise Refused(f"cluster {name} is not up: python -m localcluster up {name}")
    return Cluster(plan, where, progress or Progress())
