"""Many calls that end before their answer does: they leave nothing behind."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import generation_pb2, generation_pb2_grpc
from lepton_testing.ground import PATIENCE, SLOTS, Ground, ask, ground, ids, prompts
from lepton_testing.hosted import Host, Served

pytestmark = pytest.mark.component

LONGEST = 512


@pytest.fixture(scope="module")
def decoder(host: Host, samples: Path) -> Iterator[Ground]:
    with ground(host, samples / "llama") as found:
        yield found


def running(host: Host) -> Counter[str]:
    """Threads, and coroutines of what runs in the loop, by name, with how many there are of each.

    gRPC has one that waits for the next call, always another one.
    """

    async def names() -> list[str]:
        me = asyncio.current_task()
        found = [task.get_coro() for task in asyncio.all_tasks() if task is not me]
        return [getattr(each, "__qualname__", type(each).__name__) for each in found]

    threads = [thread.name for thread in threading.enumerate()]
    return Counter([*host.do(names()), *threads])


def check_left(host: Host, ground: Ground, before: Counter[str]) -> None:
    """Nothing is in hand, and no task or thread more than before."""
    ground.check_empty()
    deadline = time.monotonic() + PATIENCE
    while (more := running(host) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert more == Counter()
    # What is kept of ended texts is bounded, and serves the next ones.
    assert ground.backend._decoder.held_tokens <= 2 * SLOTS * LONGEST


async def storm(served: Served, count: int, most: int, act: Callable[..., Any]) -> list[Any]:
    """So many calls, `most` at a time; `act` is given the stub and a number."""
    places = asyncio.Semaphore(most)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.server.port}") as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)

        async def one(number: int) -> Any:
            async with places:
                return await act(stub, number)

        return await asyncio.gather(*(one(number) for number in range(count)))


def warm(host: Host, ground: Ground) -> Counter[str]:
    """Tasks and threads once everything that comes with the first calls is there."""
    for stream in [ask(ground.served, prompt) for prompt in prompts()]:
        list(stream)
    ground.check_empty()
    return running(host)


async def test_ten_thousand_cancelled_streams_leave_nothing(host: Host, decoder: Ground) -> None:
    async def cancelled(stub: Any, number: int) -> int:
        numbers = random.Random(number)
        request = generation_pb2.GenerateRequest(
            tokens=generation_pb2.TokenIds(ids=numbers.choices(range(3, 590), k=6)),
            sampling=generation_pb2.Sampling(max_new_tokens=200, ignore_eos=True),
        )
        call = stub.Generate(request, timeout=60)
        events = 0
        for _ in range(numbers.choice((0, 0, 1, 1, 2, 3))):
            assert await call.read() is not grpc.aio.EOF
            events += 1
        if numbers.random() < 0.5:
            await asyncio.sleep(numbers.random() / 100)
        call.cancel()
        return events

    alone = await asyncio.to_thread(lambda: ids(ask(decoder.served, prompts()[1])))
    await storm(decoder.served, 8, 8, cancelled)
    before = await asyncio.to_thread(warm, host, decoder)
    seen = await storm(decoder.served, 10_000, 96, cancelled)
    assert {0, 1, 2, 3} <= set(seen)
    await asyncio.to_thread(check_left, host, decoder, before)
    again = await asyncio.to_thread(lambda: ids(ask(decoder.served, prompts()[1])))
    assert again == alone


async def test_a_storm_of_deadlines_leaves_nothing(host: Host, decoder: Ground) -> None:
    async def late(stub: Any, number: int) -> str:
        numbers = random.Random(number)
        request = generation_pb2.GenerateRequest(
            tokens=generation_pb2.TokenIds(ids=numbers.choices(range(3, 590), k=6)),
            sampling=generation_pb2.Sampling(max_new_tokens=400, ignore_eos=True),
        )
        try:
            async for _ in stub.Generate(request, timeout=0.001 + numbers.random() / 10):
                pass
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "OK"

    await storm(decoder.served, 8, 8, late)
    before = await asyncio.to_thread(warm, host, decoder)
    ends = await storm(decoder.served, 300, 64, late)
    assert set(ends) <= {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
    assert ends.count("DEADLINE_EXCEEDED") > 100
    await asyncio.to_thread(check_left, host, decoder, before)
