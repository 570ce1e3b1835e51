"""Part `limits`: how fast memory is read and numbers are multiplied on the cores of a server."""

import asyncio
import json
import os
import sys
from pathlib import Path

from lepton_bench.engine.context import Context, Limits
from lepton_bench.engine.processes import single_purpose


async def measure(context: Context) -> None:
    """Take the limits and write them down; other parts use them."""
    limits, size, kind = await probe(context)
    count = f"{context.roster.threads} thread(s)"
    cache = last_cache()
    context.figure(
        "limit_read_gb_s",
        limits.read / 1e9,
        "GB/s",
        note=f"one row times {size / 2**30:.1f} GiB of weights, {count}; last-level cache as "
        f"reported: {cache}",
    )
    for name, rate in limits.rates.items():
        context.figure(
            f"limit_gemm_{name.replace('-', '_')}_gflop_s",
            rate / 1e9,
            "GFLOP/s",
            note=f"512 rows, {count}" + (", the fastest kind" if name == kind else ""),
        )


async def probe(context: Context) -> tuple[Limits, int, str]:
    """Limits, bytes read, and the fastest kind of numbers."""
    context.tell("limits of the machine")
    size = min(context.options.sizes.probe_bytes, available_bytes() // 4)
    cores = ",".join(map(str, context.roster.cores.server))
    process = await asyncio.create_subprocess_exec(
        *("taskset", "--cpu-list", cores, sys.executable),
        *("-m", "lepton_bench.engine.limits_probe", str(size)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **single_purpose(context.roster.threads)},
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the probe of the limits ended with {process.returncode}")
    found = json.loads(output)
    context.limits = Limits(found["read"], found["rates"])
    return context.limits, found["bytes"], max(found["rates"], key=found["rates"].__getitem__)


def available_bytes() -> int:
    """Memory that can be taken without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024


def last_cache() -> str:
    """Size of the largest cache that the kernel reports."""
    sizes = [
        path.read_text().strip()
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("*/size")
    ]
    return max(sizes, key=lambda size: int(size.rstrip("KMG")), default="unknown")
