"""The control group of a cluster's pods, in every hierarchy this machine has."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from localcluster import processes
from localcluster.mounts import MOUNTINFO
from localcluster.waiting import until

NEEDED = ("cpu", "cpuset", "memory", "pids")


def hierarchies(mountinfo: str) -> tuple[list[Path], bool]:
    """Return where control groups are mounted, and whether version 1 has the controllers.

    A machine with both has the second one bare, but runc makes its groups there all the same.
    """
    first: list[Path] = []
    second: list[Path] = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind = right.split()[0]
        target = {"cgroup": first, "cgroup2": second}.get(kind)
        if target is not None:
            target.append(Path(left.split()[4]))
    return list(dict.fromkeys(first + second[-1:])), bool(first)


def missing_controllers(mountinfo: str, roots_controllers: str) -> list[str]:
    """Return needed controllers that are neither mounted (version 1) nor offered (version 2)."""
    found = set(roots_controllers.split())
    for line in mountinfo.splitlines():
        right = line.partition(" - ")[2].split()
        if right and right[0] == "cgroup":
            found |= set(right[-1].split(","))
    return [name for name in NEEDED if name not in found]


def is_version_1() -> bool:
    """Whether this machine has control groups of version 1."""
    return hierarchies(MOUNTINFO.read_text())[1]


def create(group: str) -> None:
    """Make the group in every hierarchy."""
    roots, first = hierarchies(MOUNTINFO.read_text())
    for root in roots:
        folder = _folder(root, group)
        folder.mkdir(exist_ok=True)
        # A new cpuset is empty, and nothing can run in it, until told otherwise.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if first and (folder / name).exists():
                (folder / name).write_text((root / name).read_text())
        if not first:
            offered = (folder / "cgroup.controllers").read_text().split()
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{n}" for n in offered))


def members(group: str) -> list[processes.Process]:
    """Return every process in the group and below it."""
    pids = {
        int(pid)
        for folder in folders(group)
        for below in _tree(folder)
        for pid in _lines(below / "cgroup.procs")
    }
    return [processes.identify(pid) for pid in pids]


def folders(group: str) -> list[Path]:
    """Return the folders of the group that exist."""
    roots, _ = hierarchies(MOUNTINFO.read_text())
    return [folder for root in roots if (folder := _folder(root, group)).is_dir()]


def kill(group: str) -> None:
    """End everything in the group, also what is started meanwhile."""

    def empty() -> bool:
        processes.kill(members(group))
        return not members(group)

    until(empty, f"the end of everything in the control group {group}", 30)


def remove(group: str) -> None:
    """Remove the group and those below it."""
    for folder in folders(group):
        until(partial(_removed, folder), f"the removal of {folder}", 10)


def _removed(folder: Path) -> bool:
    try:
        for path in _deepest_first(_tree(folder)):
            path.rmdir()
    except FileNotFoundError:
        return False
    except OSError:  # busy for a moment after its last process has ended
        return False
    return True


def _tree(folder: Path) -> list[Path]:
    """The folder and all below it; what vanishes meanwhile is left out (rglob would raise)."""
    return [Path(path) for path, _, _ in os.walk(folder)]


def _deepest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: len(path.parts), reverse=True)


def _folder(root: Path, group: str) -> Path:
    return root / group.lstrip("/")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
