"""What this machine lacks for a cluster: every problem as a sentence with its remedy."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcluster import cgroups, firewall, host
from localcluster.commands import run
from localcluster.errors import CommandFailed
from localcluster.mounts import MOUNTINFO
from localcluster.paths import Cache
from localcluster.progress import Progress

# command -> Debian package
CONTROL_PLANE_COMMANDS = {"ip": "iproute2"}
NODE_COMMANDS = {
    "ip": "iproute2",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
# Gigabytes: what was seen to be used, and a third more.
BINARIES_SPACE = 5.0
NODE_SPACE = 2.0
IMAGES_SPACE = 8.0
CONTROL_PLANE_SPACE = 0.5
LONGEST_SOCKET = 107
FILESYSTEMS = Path("/proc/filesystems")
OVERLAY = "\toverlay\n"


@dataclass(frozen=True)
class Machine:
    """What the checks look at."""

    platform: str
    is_root: bool
    filesystems: str
    mountinfo: str
    cgroup_controllers: str
    free_gigabytes: float
    missing_commands: tuple[str, ...]
    foreign_chains: tuple[str, ...]


def problems(
    machine: Machine, *, node: bool, needed_gigabytes: float, socket: Path | None = None
) -> list[str]:
    """Return everything that stands in the way of a cluster."""
    if machine.platform != "linux":
        return [f"a local cluster needs Linux, and this is {machine.platform}: use a Linux machine"]
    found = []
    if machine.free_gigabytes < needed_gigabytes:
        found.append(
            f"the disk of the cache has {machine.free_gigabytes:.1f} GB free and "
            f"{needed_gigabytes:.1f} GB are needed: free some, or point LEPTON_CACHE_DIR elsewhere"
        )
    if packages := _packages(machine.missing_commands, node=node):
        found.append(f"programs are missing: apt-get install {' '.join(packages)}")
    return found + (_node_problems(machine, socket) if node else [])


def _node_problems(machine: Machine, socket: Path | None) -> list[str]:
    found = []
    if not machine.is_root:
        found.append("a node starts containers and needs root: run as root, or use --control-plane")
    if missing := cgroups.missing_controllers(machine.mountinfo, machine.cgroup_controllers):
        found.append(
            f"the control group controllers {', '.join(missing)} are missing: "
            "enable them in the kernel, or use --control-plane"
        )
    if OVERLAY not in machine.filesystems:
        found.append(
            "the kernel has no overlay file system: modprobe overlay, or use --control-plane"
        )
    if machine.foreign_chains:
        found.append(
            "another Kubernetes node seems to run on this machine (packet filter chain "
            f"{machine.foreign_chains[0]}): stop it, or, if it is a remnant, remove its rules"
        )
    if socket and len(str(socket)) > LONGEST_SOCKET:
        found.append(f"{socket} is too long for a socket: point LEPTON_CACHE_DIR somewhere shorter")
    return found


def needed_gigabytes(*, node: bool, binaries_cached: bool, images_cached: bool) -> float:
    """Return the disk space a cluster will take."""
    needed = NODE_SPACE if node else CONTROL_PLANE_SPACE
    if not binaries_cached:
        needed += BINARIES_SPACE
    if node and not images_cached:
        needed += IMAGES_SPACE
    return needed


def missing_commands(*, node: bool, which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """Return the commands that are not installed."""
    wanted = NODE_COMMANDS if node else CONTROL_PLANE_COMMANDS
    return [command for command in wanted if which(command) is None]


def install_missing(*, node: bool, progress: Progress) -> None:
    """Install missing Debian packages where that is possible; else leave it to the checks."""
    packages = _packages(tuple(missing_commands(node=node)), node=node)
    if not packages or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    with progress.step(f"installing {' '.join(packages)}"):
        try:
            run(install, env=quiet)
        except CommandFailed:  # as a rule the package lists are missing or old
            run(["apt-get", "update"], env=quiet)
            run(install, env=quiet)


def look(cache: Cache, *, node: bool) -> Machine:
    """Read what the checks look at."""
    if node and shutil.which("modprobe") and OVERLAY not in _read(FILESYSTEMS):
        run(["modprobe", "overlay"], check=False)
    root_controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    installed = shutil.which("iptables-save") is not None
    return Machine(
        platform=sys.platform,
        is_root=os.geteuid() == 0,
        filesystems=_read(FILESYSTEMS),
        mountinfo=_read(MOUNTINFO),
        cgroup_controllers=_read(root_controllers),
        free_gigabytes=host.free_gigabytes(cache.root),
        missing_commands=tuple(missing_commands(node=node)),
        foreign_chains=tuple(
            name
            for family in firewall.FAMILIES
            if node and installed
            for _, name in firewall.present(family)
            if name.startswith("KUBE-")
        ),
    )


def _packages(commands: tuple[str, ...], *, node: bool) -> list[str]:
    wanted = NODE_COMMANDS if node else CONTROL_PLANE_COMMANDS
    return sorted({wanted[command] for command in commands})


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
