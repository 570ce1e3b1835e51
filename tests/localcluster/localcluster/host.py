"""What a node changes on the machine itself: remembered before, put back after."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster import firewall
from localcluster.commands import run
from localcluster.configs import BRIDGE

SYSCTL = Path("/proc/sys")
# Written by kubelet, kube-proxy and CNI, or by us.
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
NEEDED_SETTINGS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
# Folders with a fixed place that kubelet, CNI and shims write to.
CONTAINER_LOGS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")
SHIM_SOCKETS = Path("/run/containerd/s")
FIXED_FOLDERS = (
    CONTAINER_LOGS,
    CNI_RESULTS,
    CNI_RESULTS.parent,
    SHIM_SOCKETS,
    SHIM_SOCKETS.parent,
)


@dataclass(frozen=True)
class Before:
    """The machine before the node came up."""

    settings: Mapping[str, str]
    chains: Mapping[str, tuple[tuple[str, str], ...]]
    folders: tuple[str, ...]


def look() -> Before:
    """Read everything a node may change."""
    return Before(
        settings={name: value for name in SETTINGS if (value := _setting(name)) is not None},
        chains={family: tuple(firewall.present(family)) for family in firewall.FAMILIES},
        folders=tuple(str(path) for path in FIXED_FOLDERS if path.exists()),
    )


def save(before: Before, path: Path) -> None:
    """Write it down, all or nothing."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(before)))
    draft.replace(path)


def load(path: Path) -> Before | None:
    """Read it again; None when no node was prepared."""
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    chains = {family: tuple(map(tuple, seen)) for family, seen in raw["chains"].items()}
    return Before(raw["settings"], chains, tuple(raw["folders"]))


def prepare() -> None:
    """Let the machine forward packets, and bridged ones be seen by Services."""
    if not (SYSCTL / "net/bridge").exists():
        run(["modprobe", "br_netfilter"], check=False)
    for name, value in NEEDED_SETTINGS.items():
        if _setting(name) not in (None, value):
            (SYSCTL / name).write_text(value)


def restore(before: Before, containerd_state: Path, pod_logs: Path) -> None:
    """Take away what the node left, and put settings back."""
    if has_bridge():
        run(["ip", "link", "delete", BRIDGE])
    for family in firewall.FAMILIES:
        firewall.clear(family, before.chains.get(family, ()))
    for path in strays(containerd_state, pod_logs):
        path.unlink(missing_ok=True)
    for name, value in before.settings.items():
        if _setting(name) != value:
            (SYSCTL / name).write_text(value)
    for path in FIXED_FOLDERS:
        if str(path) not in before.folders and path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def strays(containerd_state: Path, pod_logs: Path) -> list[Path]:
    """Return files of our node in folders whose place nobody can choose."""
    found = [
        path
        for path in _listed(CONTAINER_LOGS)
        if path.is_symlink() and os.readlink(path).startswith(f"{pod_logs}/")
    ]
    # Each names the network namespace it was made for, which lies in the state folder.
    found += [path for path in _listed(CNI_RESULTS) if f"{containerd_state}/" in path.read_text()]
    sockets = (path.read_text() for path in containerd_state.glob("*/*/*/address"))
    found += [path for text in sockets if (path := Path(text.removeprefix("unix://"))).exists()]
    return found


def has_bridge() -> bool:
    """Whether our bridge is there."""
    return Path("/sys/class/net", BRIDGE).exists()


def free_gigabytes(path: Path) -> float:
    """Return the free space where a folder is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 1e9


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _setting(name: str) -> str | None:
    try:
        return (SYSCTL / name).read_text().strip()
    except OSError:
        return None
