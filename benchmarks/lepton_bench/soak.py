"""Suite `soak`: one worker under mixed traffic for as long as LEPTON_SOAK_MINUTES says (60).

A third of the calls is cancelled, some have a deadline that they cannot keep, some are refused:
what they leave behind would show in memory, threads or open files as time goes by.
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_bench.engine import proc
from lepton_bench.engine.grpc_target import GrpcTarget
from lepton_bench.engine.processes import Child, single_purpose
from lepton_bench.engine.roster import free_port
from lepton_bench.figures import Figure

MINUTES = float(os.environ.get("LEPTON_SOAK_MINUTES", "60"))
CALLERS = 24
EVERY_SECONDS = 5.0
SETTLED = 0.25
"""Share of the time after which caches are taken to be full."""
EXPECTED = {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}


@dataclass(frozen=True)
class Sample:
    """What the processes of the worker hold together at `second`."""

    second: float
    mib: float
    threads: int
    files: int


async def measure() -> list[Figure]:
    """Start a worker, ask it, look at it, end it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "lepton_worker"]
        make = await asyncio.create_subprocess_exec(*command, "samples", name, "--only", "llama")
        if await make.wait():
            raise RuntimeError(f"the sample model was not written: {make.returncode}")
        port = free_port()
        settings = {"SOURCE": name + "/llama", "HOST": "127.0.0.1", "GRPC_PORT": str(port)}
        settings |= {"METRICS_PORT": "0", "CACHE_DIR": name + "/cache", "THREADS": "1"}
        environment = {f"LEPTON_{key}": value for key, value in settings.items()}
        cores = sorted(os.sched_getaffinity(0))
        child = Child(command, cores, folder / "log", single_purpose(1) | environment)
        try:
            await _serving(child, port)
            return await _watched(child, f"127.0.0.1:{port}")
        finally:
            child.stop()


async def _serving(child: Child, port: int) -> None:
    target = GrpcTarget(port, "generate")
    while not await target.serving():
        child.check()
        await asyncio.sleep(0.2)
    await target.close()


async def _watched(child: Child, address: str) -> list[Figure]:
    async with grpc.aio.insecure_channel(address) as channel:
        ends: Counter[str] = Counter()
        start = time.monotonic()
        callers = [
            asyncio.create_task(_calls(channel, number, start + 60 * MINUTES, ends))
            for number in range(CALLERS)
        ]
        samples = []
        while not all(caller.done() for caller in callers):
            await asyncio.sleep(EVERY_SECONDS)
            child.check()
            samples.append(_sample(child.process.pid, time.monotonic() - start))
            sys.stdout.write(f"{samples[-1]} {dict(ends)}\n")
            sys.stdout.flush()
        await asyncio.gather(*callers)
    return report(samples, ends)


async def _calls(channel: grpc.aio.Channel, number: int, end: float, ends: Counter[str]) -> None:
    """One caller: a call after the other, each of another kind."""
    numbers = random.Random(number)
    stub = generation_pb2_grpc.GenerationStub(channel)
    while time.monotonic() < end:
        cancel = numbers.random() < 1 / 3
        call = stub.Generate(request_of(numbers), timeout=0.02 if numbers.random() < 0.05 else 60)
        try:
            read = 0
            async for _ in call:
                read += 1
                if cancel and read > numbers.randrange(4):
                    call.cancel()
            ends["OK"] += 1
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            ends["CANCELLED"] += 1
        except grpc.aio.AioRpcError as error:
            ends[error.code().name] += 1


def request_of(numbers: random.Random) -> generation_pb2.GenerateRequest:
    """A request with what differs between callers: lengths, sampling, logprobs, tenants."""
    sampling = generation_pb2.Sampling(
        max_new_tokens=numbers.randrange(1, 48),
        temperature=numbers.choice((0.0, 0.7)),
        top_p=2.0 if numbers.random() < 0.02 else 0.9,  # Two is refused.
        seed=numbers.randrange(1 << 30),
        ignore_eos=numbers.random() < 0.5,
    )
    ids = numbers.choices(range(3, 590), k=numbers.randrange(1, 120))
    request = generation_pb2.GenerateRequest(
        tokens=generation_pb2.TokenIds(ids=ids), sampling=sampling
    )
    request.meta.tenant = f"tenant-{numbers.randrange(50)}"
    return request


def _sample(session: int, second: float) -> Sample:
    mib, threads, files = 0.0, 0, 0
    for pid, _ in proc.of_session(session):
        folder = proc.PROC / str(pid)
        fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        mib += int(fields["RssAnon"].split()[0]) / 1024
        threads += int(fields["Threads"])
        files += len(list((folder / "fd").iterdir()))
    return Sample(second, mib, threads, files)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Growth of the second number by one of the first, by least squares."""
    if len(points) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def report(samples: Sequence[Sample], ends: Counter[str]) -> list[Figure]:
    """The figures of a run."""
    settled = [sample for sample in samples if sample.second >= SETTLED * samples[-1].second]
    first, last, count = settled[0], settled[-1], ends.total()
    minutes = last.second / 60
    growth = 3600 * slope([(sample.second, sample.mib) for sample in settled])
    unexpected = sum(number for end, number in ends.items() if end not in EXPECTED)
    kinds = ", ".join(f"{number} {end}" for end, number in ends.most_common())
    note = f"{minutes:.0f} minutes, the first quarter left out; {first.mib:.0f} MiB then, "
    note += f"{last.mib:.0f} MiB at the end, anonymous memory of all processes"
    return [
        Figure("soak.rss_growth_mib_per_hour", round(growth, 2), "MiB/h", len(settled), note=note),
        Figure("soak.unexpected_ends", unexpected, "calls", count, note=kinds),
        Figure("soak.cancelled", ends["CANCELLED"], "calls", count),
        Figure("soak.threads_gained", last.threads - first.threads, "threads", len(settled)),
        Figure("soak.files_gained", last.files - first.files, "files", len(settled)),
    ]
