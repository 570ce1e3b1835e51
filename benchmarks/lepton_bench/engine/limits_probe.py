"""`python -m lepton_bench.engine.limits_probe BYTES …`: what this machine can do, as JSON.

Read bandwidth is that of matrix times vector over weights of each size: far more than the caches
hold, and as many as a model has, part of which a large shared cache may keep. The rate of
multiplication is that of 512 rows, for each kind of number torch can hold weights in.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

WIDTH = 4096
ROWS, INNER, OUTER = 512, 3072, 768
SECONDS = 1.5


def best(work: Callable[[], object], at_least: int = 3) -> float:
    """Shortest time of one call, over about SECONDS of calls after one that warms up."""
    work()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def read_bandwidth(size: int) -> float:
    """Bytes a second at which weights of `size` bytes in all are read by one row."""
    count = max(1, size // (WIDTH * WIDTH * 4))
    weights = [torch.full((WIDTH, WIDTH), 1e-3) for _ in range(count)]
    row = torch.ones(1, WIDTH)

    def work() -> None:
        for weight in weights:
            functional.linear(row, weight)

    return count * WIDTH * WIDTH * 4 / best(work, at_least=5)


def rates() -> dict[str, float]:
    """Multiplications and additions a second of a linear layer, by kind of weights."""
    rows, weight = torch.randn(ROWS, INNER), torch.randn(OUTER, INNER)
    packed = torch.ops.quantized
    half = packed.linear_prepack_fp16(weight, None)
    steps = torch.quantize_per_tensor(weight, 0.04, 0, torch.qint8)
    whole = packed.linear_prepack(steps, None)
    rows16, weight16 = rows.bfloat16(), weight.bfloat16()
    kinds: dict[str, Callable[[], object]] = {
        "float32": lambda: functional.linear(rows, weight),
        "float16-packed": lambda: packed.linear_dynamic_fp16(rows, half),
        "bfloat16": lambda: functional.linear(rows16, weight16),
        "int8": lambda: packed.linear_dynamic(rows, whole, True),
    }
    work = 2 * ROWS * INNER * OUTER
    found = {}
    for kind, call in kinds.items():
        try:
            found[kind] = work / best(call)
        except RuntimeError:  # this build of torch has no such operator for this processor
            continue
    return found


@torch.inference_mode()
def main(sizes: Sequence[int]) -> None:
    """Measure and print."""
    read = [read_bandwidth(size) for size in sizes]
    result = {"bytes": sizes, "read": read, "rates": rates()}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
