"""Memory of a worker that has served for a while: what it holds does not grow with requests."""

import asyncio
import urllib.request
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lepton.v1 import generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

AT_ONCE = 16
WARM, MEASURED = 1000, 2500
MEBIBYTE = 2**20
MOST_GROWTH = 4 * MEBIBYTE
"""Of each process, over the measured requests; 1.6 KiB a request would be as much."""


async def asked(address: str, kind: str, first: int, count: int) -> None:
    """Ask so many small and different things, `AT_ONCE` at a time."""
    numbers = iter(range(first, first + count))
    async with grpc.aio.insecure_channel(address) as channel:
        text = text_pb2_grpc.TextStub(channel)
        generation = generation_pb2_grpc.GenerationStub(channel)

        async def embed(number: int) -> None:
            await text.Embed(text_pb2.EmbedRequest(inputs=[f"text {number}"]))

        async def write(number: int) -> None:
            sampling = generation_pb2.Sampling(max_new_tokens=2, ignore_eos=True)
            request = generation_pb2.GenerateRequest(text=f"text {number}", sampling=sampling)
            stream = generation.Generate(request)
            if number % 7 == 0:  # a caller that goes
                await stream.read()
                stream.cancel()
                return
            async for _ in stream:
                pass

        async def go_on() -> None:
            for number in numbers:
                await (embed if kind == "embed" else write)(number)

        await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))


def resident(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    name = "lepton_process_resident_memory_bytes"
    family = next(family for family in families if family.name == name)
    return {sample.labels["process"]: sample.value for sample in family.samples}


@pytest.mark.parametrize(("sample", "kind"), [("sentence-encoder", "embed"), ("llama", "write")])
def test_requests_leave_nothing_behind(
    tmp_path: Path, samples: Path, sample: str, kind: str
) -> None:
    with WorkerProcess(tmp_path, source=samples / sample, drain_seconds=0) as worker:
        port = int(worker.awaits(r"metrics on port (\d+)")[1])
        address = "127.0.0.1:" + worker.awaits(r"listening on port (\d+)")[1]
        worker.awaits(" serving")
        asyncio.run(asked(address, kind, 0, WARM))
        before = resident(port)
        asyncio.run(asked(address, kind, WARM, MEASURED))
        after = resident(port)
    growth = {process: after[process] - before[process] for process in after}
    assert growth.keys() == {"front", "engine"}
    assert max(growth.values()) < MOST_GROWTH, growth
