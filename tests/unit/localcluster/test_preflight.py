"""What a machine lacks is said in sentences that name the remedy."""

from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import preflight
from localcluster.preflight import Machine

CGROUP_V1 = "".join(
    f"{n} 1 0:{n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for n, name in enumerate(("cpu", "cpuset", "memory", "pids"))
)
GOOD = Machine(
    platform="linux",
    is_root=True,
    filesystems="nodev\toverlay\n\text4\n",
    mountinfo=CGROUP_V1,
    cgroup_controllers="",
    free_gigabytes=50,
    missing_commands=(),
    foreign_chains=(),
)


def found(machine: Machine, *, node: bool = True) -> str:
    return "\n".join(preflight.problems(machine, node=node, needed_gigabytes=10))


def test_a_good_machine_has_no_problems() -> None:
    assert found(GOOD) == ""


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (replace(GOOD, platform="darwin"), "needs Linux, and this is darwin"),
        (replace(GOOD, is_root=False), "needs root: run as root"),
        (replace(GOOD, filesystems="\text4\n"), "modprobe overlay"),
        (replace(GOOD, mountinfo=""), "cpu, cpuset, memory, pids are missing"),
        (replace(GOOD, free_gigabytes=1.25), "has 1.2 GB free and 10.0 GB are needed"),
        (replace(GOOD, missing_commands=("ctr", "containerd")), "apt-get install containerd"),
        (replace(GOOD, foreign_chains=("KUBE-SERVICES",)), "another Kubernetes node seems to run"),
    ],
)
def test_each_problem_is_said(machine: Machine, sentence: str) -> None:
    assert sentence in found(machine)


def test_control_groups_of_version_2_are_as_good() -> None:
    offered = "cpuset cpu io memory hugetlb pids rdma misc\n"
    assert found(replace(GOOD, mountinfo="", cgroup_controllers=offered)) == ""


def test_all_problems_are_said_at_once() -> None:
    machine = replace(GOOD, is_root=False, filesystems="", free_gigabytes=0)
    assert len(preflight.problems(machine, node=True, needed_gigabytes=1)) == 3


def test_a_control_plane_needs_neither_root_nor_a_kernel_of_our_taste() -> None:
    machine = replace(GOOD, is_root=False, filesystems="", mountinfo="")
    assert found(machine, node=False) == ""


def test_a_socket_path_that_is_too_long_is_refused() -> None:
    socket = Path("/" + "x" * 120)
    (sentence,) = preflight.problems(GOOD, node=True, needed_gigabytes=1, socket=socket)
    assert "too long for a socket" in sentence


@pytest.mark.parametrize(
    ("node", "binaries", "images", "expected"),
    [(False, True, False, 0.5), (False, False, False, 5.5), (True, True, True, 2.0),
     (True, False, False, 15.0)],
)  # fmt: skip
def test_space_is_asked_for_what_is_not_cached(
    node: bool, binaries: bool, images: bool, expected: float
) -> None:
    needed = preflight.needed_gigabytes(node=node, binaries_cached=binaries, images_cached=images)
    assert needed == expected


def test_missing_commands_are_found() -> None:
    assert preflight.missing_commands(node=False, which=lambda name: None) == ["ip"]
    assert preflight.missing_commands(node=True, which=lambda name: f"/bin/{name}") == []
