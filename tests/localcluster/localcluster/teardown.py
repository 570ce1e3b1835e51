"""Taking a cluster down, whatever state it is in, and finding what should not be there."""

import shutil
from pathlib import Path

from localcluster import cgroups, firewall, host, mounts, node, plan, processes
from localcluster.configs import BRIDGE, NETWORK
from localcluster.mounts import MOUNTINFO
from localcluster.paths import Cache, Run
from localcluster.supervisor import Supervisor

OLD_LOGS_KEPT = 8
# What writes to folders that outlive the cluster may finish; the rest is thrown away anyway.
GENTLE = ("containerd", "registry")
# They would make new pods and rules while the old ones are taken away.
MAKERS = ("reaper", "kubelet", "kube-proxy")


def down(run: Run, cache: Cache) -> None:
    """Remove everything of a cluster; doing it twice, or after a crash, is as good as once."""
    decided = plan.load(run.plan)
    supervisor = Supervisor(run)
    _end(supervisor, MAKERS)
    if decided and decided.options.node:
        cgroups.kill(decided.cgroup)
        if supervisor.is_running("containerd"):
            node.remove_containers(run)
    supervisor.stop_all(GENTLE)
    processes.kill(processes.marked(run.root))
    if decided and decided.options.node:
        _clean_machine(run, cache, decided.cgroup)
    if run.root.exists():
        _keep_logs(run, cache)
        shutil.rmtree(run.root)


def leftovers(cache: Cache) -> list[str]:
    """Return a sentence for each thing of any local cluster that is on this machine now."""
    found = [f"folder {path}" for path in sorted(cache.runs.glob("*"))]
    for path in sorted(processes.marks()):
        found += [f"process {process.pid} of {path}" for process in processes.marked(path)]
    return found + _left_by_nodes(cache)


def left_by(run: Run, cache: Cache, *, node: bool) -> list[str]:
    """Return what is left of one cluster; there is only one node, so what nodes leave is its."""
    found = [f"folder {run.root}"] if run.root.exists() else []
    found += [f"process {process.pid}" for process in processes.marked(run.root)]
    return found + (_left_by_nodes(cache) if node else [])


def _left_by_nodes(cache: Cache) -> list[str]:
    found = [f"network bridge {BRIDGE}"] if host.has_bridge() else []
    for family in firewall.FAMILIES if shutil.which("iptables-save") else ():
        found += [f"{family} {what}" for what in firewall.traces(family, NETWORK)]
    found += [f"mount {point}" for point in mounts.current([cache.runs, cache.containerd])]
    roots, _ = cgroups.hierarchies(MOUNTINFO.read_text())
    found += [f"control group {path}" for root in roots for path in _our_groups(root)]
    return found + [f"file {path}" for path in host.strays(cache.runs, cache.runs)]


def _end(supervisor: Supervisor, names: tuple[str, ...]) -> None:
    ours = processes.current().pid
    others = [
        name for name in names if name in supervisor.names() and supervisor.process_id(name) != ours
    ]
    supervisor.stop_all(others, grace=3)


def _clean_machine(run: Run, cache: Cache, cgroup: str) -> None:
    # Containers that hung in a mount or fork may have appeared since.
    cgroups.kill(cgroup)
    mounts.detach(mounts.current([run.root, cache.containerd]))
    before = host.load(run.host_before)
    if before:
        host.restore(before, run.containerd, run.pod_logs)
    cgroups.remove(cgroup)


def _keep_logs(run: Run, cache: Cache) -> None:
    """Keep the logs of the last few clusters: the question why often comes afterwards."""
    if not run.logs.is_dir():
        return
    target = cache.old_logs / run.name
    shutil.rmtree(target, ignore_errors=True)
    cache.old_logs.mkdir(parents=True, exist_ok=True)
    run.logs.rename(target)
    target.touch()
    kept = sorted(cache.old_logs.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[OLD_LOGS_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def _our_groups(root: Path) -> list[Path]:
    return sorted(root.glob("lepton-localcluster-*"))
