"""Mounts and control groups are read from what the kernel says."""

from pathlib import Path

from localcluster import cgroups, mounts

MOUNTINFO = """\
22 1 8:1 / / rw - ext4 /dev/root rw
30 22 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 22 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 22 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
40 22 0:30 / /c/run/demo/a\\040b rw - tmpfs tmpfs rw
41 40 0:31 / /c/run/demo/a\\040b/deep rw - tmpfs tmpfs rw
42 22 0:32 / /c/run/demo2 rw - tmpfs tmpfs rw
"""


def test_mounts_below_a_folder_come_deepest_first() -> None:
    found = mounts.below(Path("/c/run/demo"), MOUNTINFO)
    assert found == [Path("/c/run/demo/a b/deep"), Path("/c/run/demo/a b")]


def test_both_versions_of_control_groups_are_found() -> None:
    roots, first = cgroups.hierarchies(MOUNTINFO)
    assert first
    assert Path("/sys/fs/cgroup/memory") in roots
    assert Path("/sys/fs/cgroup/unified") in roots


def test_a_machine_with_version_2_only_is_told_apart() -> None:
    line = "32 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    assert cgroups.hierarchies(line) == ([Path("/sys/fs/cgroup")], False)


def test_missing_controllers_are_named() -> None:
    assert cgroups.missing_controllers(MOUNTINFO, "") == ["cpuset", "pids"]
    assert cgroups.missing_controllers(MOUNTINFO, "pids cpuset") == []
