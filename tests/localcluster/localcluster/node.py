"""Bringing up the node: registry, containerd, kubelet, kube-proxy, network and DNS."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from localcluster import cgroups, components, configs, health, host, images
from localcluster.addresses import link_mtu
from localcluster.commands import run as run_command
from localcluster.paths import Cache, Run
from localcluster.pki import Pki
from localcluster.plan import Plan
from localcluster.supervisor import Supervisor

NAMESPACE = "k8s.io"
# Leftovers of pods in containerd's lasting folder; image content lies elsewhere.
POD_FOLDERS = ("io.containerd.grpc.v1.cri/sandboxes", "io.containerd.grpc.v1.cri/containers")


def prepare(plan: Plan, run: Run, cache: Cache, material: Pki) -> None:
    """Remember the machine as it is, then write the node's configuration."""
    host.save(host.look(), run.host_before)
    host.prepare()
    cgroups.create(plan.cgroup)
    for folder in (run.containerd, run.cni, run.kubelet, run.pod_logs):
        folder.mkdir(parents=True, exist_ok=True)
    files = {
        run.config / "kubelet.yaml": configs.kubelet(
            plan, run, material, cgroup_v1=cgroups.is_version_1()
        ),
        run.config / "kube-proxy.yaml": configs.proxy(plan, run),
        run.config / "registry.yaml": configs.registry(cache, plan.ports.registry),
        run.config / "Corefile": configs.coredns(plan, run),
        run.cni / "10-lepton.conflist": configs.cni(plan, run, link_mtu(plan.host_ip)),
        run.config / "registries" / configs.REGISTRY / "hosts.toml": configs.registry_hosts(plan),
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def start_runtime(
    plan: Plan, run: Run, cache: Cache, binaries: Mapping[str, Path], supervisor: Supervisor
) -> None:
    """Start the registry and containerd, which need no API server."""
    registry = (str(binaries["registry"]), "serve", str(run.config / "registry.yaml"))
    # The registry would send traces somewhere unless told not to.
    supervisor.launch("registry", registry, {"OTEL_TRACES_EXPORTER": "none"})
    pause = images.pause_reference(binaries["pause"])
    (run.config / "containerd.toml").write_text(configs.containerd(plan, run, cache, pause))
    _forget_pods(cache)
    _launch_containerd(run, supervisor)


def await_runtime(
    plan: Plan, run: Run, cache: Cache, material: Pki, binaries: Mapping[str, Path],
    supervisor: Supervisor,
) -> None:  # fmt: skip
    """Wait for both, and for a containerd that knows of no pod."""
    health.await_ready("registry", plan, material, supervisor)
    images.push_pause(cache, plan.ports.registry, binaries["pause"])
    supervisor.await_ready("containerd", lambda: runtime_answers(run))
    if remove_containers(run):
        # Its pod plugin read them at its start, and would go on reporting them.
        supervisor.stop("containerd")
        _forget_pods(cache)
        _launch_containerd(run, supervisor)
        supervisor.await_ready("containerd", lambda: runtime_answers(run))


def start_kubelet(
    plan: Plan, run: Run, binaries: Mapping[str, Path], supervisor: Supervisor
) -> None:
    """Start what needs the API server."""
    flags = {
        "kubelet": components.kubelet(plan, run),
        "kube-proxy": components.proxy(run),
    }
    for component, chosen in flags.items():
        argv = components.command(binaries[component], chosen)
        supervisor.launch(
            component, components.overridden(argv, plan.options.flags.get(component, {}))
        )
    supervisor.launch("coredns", (str(binaries["coredns"]), "-conf", str(run.config / "Corefile")))


def runtime_answers(run: Run) -> bool:
    """Whether containerd serves its clients and its pod plugin came up."""
    plugins = _ctr(run, "plugins", "ls", check=False)
    return any("cri" in line.split() and line.split()[-1] == "ok" for line in plugins.splitlines())


def remove_containers(run: Run) -> int:
    """Remove every container and sandbox containerd knows of; return how many there were."""
    tasks = _ctr(run, "tasks", "ls", "--quiet", check=False).split()
    if tasks:
        _ctr(run, "tasks", "kill", "--signal", "SIGKILL", "--all", *tasks, check=False)
        _ctr(run, "tasks", "delete", "--force", *tasks, check=False)
    containers = _ctr(run, "containers", "ls", "--quiet", check=False).split()
    if containers:
        _ctr(run, "containers", "delete", *containers, check=False)
    return len(containers)


def pulled(run: Run) -> list[str]:
    """Return the images containerd has."""
    return _ctr(run, "images", "ls", "--quiet").split()


def await_schedulable(plan: Plan, run: Run, kubectl: Path, supervisor: Supervisor) -> None:
    """Wait until the node is ready for pods."""

    def ready() -> bool:
        found = run_command(
            [kubectl, "--kubeconfig", run.kubeconfig, "get", "node", plan.node_name, "-o", "json"],
            check=False,
        )
        return found.returncode == 0 and is_schedulable(json.loads(found.stdout))

    supervisor.await_ready("kubelet", ready)


def is_schedulable(node: Mapping[str, object]) -> bool:
    """Whether a node object is ready and carries no taint any more."""
    spec, status = node.get("spec"), node.get("status")
    if not isinstance(spec, Mapping) or not isinstance(status, Mapping) or spec.get("taints"):
        return False
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions", [])
    )


def _launch_containerd(run: Run, supervisor: Supervisor) -> None:
    binary = shutil.which("containerd") or "containerd"
    supervisor.launch("containerd", (binary, "--config", str(run.config / "containerd.toml")))


def _forget_pods(cache: Cache) -> None:
    for name in POD_FOLDERS:
        shutil.rmtree(cache.containerd / name, ignore_errors=True)


def _ctr(run: Run, *args: str, check: bool = True) -> str:
    argv: list[str | Path] = [
        "ctr",
        "--address",
        run.containerd_socket,
        "--namespace",
        NAMESPACE,
        *args,
    ]
    return run_command(argv, check=check, timeout=60).stdout
