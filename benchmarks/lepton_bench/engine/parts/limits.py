"""Part `limits`: how fast memory is read and numbers are multiplied on the cores of a server."""

import asyncio
import json
import os
import sys
from pathlib import Path

from lepton_bench.engine.context import Context, Limits
from lepton_bench.engine.models import SHAPES, Shape
from lepton_bench.engine.processes import single_purpose

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes of a weight, by how ours holds them."""


async def measure(context: Context) -> None:
    """Take the limits and write them down; other parts use them."""
    limits = await known(context)
    count = f"{context.roster.threads} thread(s)"
    context.figure(
        "limit_read_gb_s",
        limits.read / 1e9,
        "GB/s",
        note=f"one row times {large(context) / 2**30:.1f} GiB of weights, {count}; last-level "
        f"cache as reported: {last_cache()}",
    )
    for kind, rate in limits.read_weights.items():
        context.figure(
            f"limit_read_{kind}_weights_gb_s",
            rate / 1e9,
            "GB/s",
            note=f"one row times as many bytes as the decoder has as {kind}, {count}",
        )
    fastest = max(limits.rates, key=limits.rates.__getitem__)
    for name, rate in limits.rates.items():
        context.figure(
            f"limit_gemm_{name.replace('-', '_')}_gflop_s",
            rate / 1e9,
            "GFLOP/s",
            note=f"512 rows, {count}" + (", the fastest kind" if name == fastest else ""),
        )


async def known(context: Context) -> Limits:
    """The limits, measured unless this run has measured them before."""
    if context.limits is None:
        context.limits = await _probe(context)
    return context.limits


def weight_bytes(shape: Shape, kind: str) -> int:
    """Bytes that one step of a decoder has to read."""
    return (shape.matrix_weights + shape.head_weights) * BYTES[kind]


def large(context: Context) -> int:
    """Bytes of the largest probe: as asked, or a quarter of what is free."""
    return min(context.options.sizes.probe_bytes, available_bytes() // 4)


async def _probe(context: Context) -> Limits:
    context.tell("limits of the machine")
    decoder = SHAPES[context.options.sizes.decoder]
    sizes = [large(context), *(weight_bytes(decoder, kind) for kind in BYTES)]
    cores = ",".join(map(str, context.roster.cores.server))
    process = await asyncio.create_subprocess_exec(
        *("taskset", "--cpu-list", cores, sys.executable),
        *("-m", "lepton_bench.engine.limits_probe", *map(str, sizes)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **single_purpose(context.roster.threads)},
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the probe of the limits ended with {process.returncode}")
    found = json.loads(output)
    read, *weights = found["read"]
    return Limits(read, dict(zip(BYTES, weights, strict=True)), found["rates"])


def available_bytes() -> int:
    """Memory that can be taken without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024


def last_cache() -> str:
    """Size of the largest cache that the kernel reports."""
    caches = Path("/sys/devices/system/cpu/cpu0/cache")
    sizes = [path.read_text().strip() for path in caches.glob("*/size")]
    return max(sizes, key=lambda size: int(size.rstrip("KMG")), default="unknown")
