"""What the container may use of its machine: processors and memory, by cgroup v1 or v2."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Processors that the cgroup may use; None without a quota."""
    unified = _words(root / "cpu.max")
    if unified:
        limit, period = unified[0], unified[1] if len(unified) > 1 else "100000"
        return None if limit == "max" else int(limit) / int(period)
    quota = _words(root / "cpu" / "cpu.cfs_quota_us")
    period_v1 = _words(root / "cpu" / "cpu.cfs_period_us")
    if not quota or not period_v1 or int(quota[0]) <= 0:
        return None
    return int(quota[0]) / int(period_v1[0])


def threads(quota: float | None, processors: int) -> int:
    """Threads for arithmetic: the quota rounded up, no more than there are processors."""
    wanted = processors if quota is None else math.ceil(quota)
    return max(1, min(wanted, processors))


def available_threads(root: Path = CGROUP) -> int:
    """Threads that this process should use."""
    return threads(cpu_quota(root), len(os.sched_getaffinity(0)))


def memory_limit(root: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that the process may use: the cgroup's limit, or else the machine's memory."""
    machine = next(
        (int(line.split()[1]) * 1024 for line in _lines(meminfo) if line.startswith("MemTotal:")),
        None,
    )
    words = _words(root / "memory.max") or _words(root / "memory" / "memory.limit_in_bytes")
    limit = None if not words or words[0] == "max" else int(words[0])
    known = [value for value in (machine, limit) if value is not None]
    return min(known, default=None)


def resident_bytes(process: int | None = None) -> int:
    """Resident memory of a process, of this one unless told; 0 if it is gone.

    Pages that it shares with others are included.
    """
    words = _words(Path("/proc") / ("self" if process is None else str(process)) / "statm")
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else 0


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
