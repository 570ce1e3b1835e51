"""What the container may use, by both generations of cgroups."""

from pathlib import Path

import pytest

from lepton_worker.limits import cpu_quota, memory_limit, threads

GIB = 2**30


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("contents", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "200000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, None),
    ],
)
def test_cpu_quota(tmp_path: Path, contents: dict[str, str], quota: float | None) -> None:
    assert cpu_quota(files(tmp_path, contents)) == quota


@pytest.mark.parametrize(
    ("quota", "processors", "expected"),
    [(None, 4, 4), (0.5, 4, 1), (1.5, 4, 2), (2.0, 4, 2), (64.0, 4, 4), (None, 0, 1)],
)
def test_threads_follow_the_quota(quota: float | None, processors: int, expected: int) -> None:
    assert threads(quota, processors) == expected


@pytest.mark.parametrize(
    ("contents", "limit"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max\n"}, 8 * GIB),
        ({"memory.max": f"{GIB}\n"}, GIB),
        ({"memory/memory.limit_in_bytes": f"{2 * GIB}\n"}, 2 * GIB),
        # "No limit" of version 1 is a number larger than any machine.
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 * GIB),
    ],
)
def test_memory_limit(tmp_path: Path, contents: dict[str, str], limit: int) -> None:
    meminfo = files(tmp_path, {"meminfo": f"MemTotal: {8 * GIB // 1024} kB\n"}) / "meminfo"
    assert memory_limit(files(tmp_path, contents), meminfo) == limit


def test_nothing_known_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path, tmp_path / "none") is None
