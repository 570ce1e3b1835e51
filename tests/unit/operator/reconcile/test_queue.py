"""Passes are run as they are due."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lepton_operator.api.objects import Key
from lepton_operator.cluster import Unavailable
from lepton_operator.reconcile.queue import Outcome, Queue

A, B = Key("n", "a"), Key("n", "b")


class Passes:
    """Records passes; each waits until it is let go, and ends as it is told."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Key] = asyncio.Queue()
        self.results: list[str] = []
        self.outcomes: list[Outcome | Exception] = []
        self.gates: list[asyncio.Event] = []
        self.at_once: dict[Key, int] = {}
        self.most: int = 0

    async def __call__(self, key: Key) -> Outcome:
        self.at_once[key] = self.at_once.get(key, 0) + 1
        self.most = max(self.most, self.at_once[key])
        self.begun.put_nowait(key)
        try:
            if self.gates:
                await self.gates.pop(0).wait()
            outcome = self.outcomes.pop(0) if self.outcomes else Outcome()
        finally:
            self.at_once[key] -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ended(self, seconds: float, result: str) -> None:
        self.results.append(result)

    async def next(self) -> Key:
        return await asyncio.wait_for(self.begun.get(), 5)


@asynccontextmanager
async def running(
    handle: Callable[[Key], Awaitable[Outcome]], passes: Passes, workers: int = 4
) -> AsyncIterator[Queue]:
    queue = Queue(handle, passes.ended, workers)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def passes() -> Passes:
    return Passes()


async def test_what_is_added_gets_a_pass(passes: Passes) -> None:
    async with running(passes, passes) as queue:
        queue.add(A)
        assert await passes.next() == A


async def test_different_models_at_once_the_same_one_after_the_other(passes: Passes) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    passes.gates = [first, second]
    async with running(passes, passes) as queue:
        queue.add(A)
        assert await passes.next() == A
        queue.add(A)
        queue.add(B)
        assert await passes.next() == B
        first.set()
        second.set()
        assert await passes.next() == A
    assert passes.most == 1


async def test_no_more_passes_at_once_than_workers(passes: Passes) -> None:
    gate = asyncio.Event()
    passes.gates = [gate]
    async with running(passes, passes, workers=1) as queue:
        queue.add(A)
        queue.add(B)
        assert await passes.next() == A
        await asyncio.sleep(0)
        assert passes.begun.empty()
        gate.set()
        assert await passes.next() == B


@pytest.mark.parametrize("error", [Unavailable("no answer"), ValueError("a bug")])
async def test_a_failed_pass_is_tried_again(passes: Passes, error: Exception) -> None:
    passes.outcomes = [error]
    async with running(passes, passes) as queue:
        queue.add(A)
        assert [await passes.next(), await passes.next()] == [A, A]
    assert passes.results == ["error", "ok"]


async def test_an_obstacle_is_looked_at_again(passes: Passes) -> None:
    passes.outcomes = [Outcome(obstacle=True)]
    async with running(passes, passes) as queue:
        queue.add(A)
        assert [await passes.next(), await passes.next()] == [A, A]
    assert passes.results == ["obstacle", "ok"]


async def test_a_pass_may_ask_for_another_one(passes: Passes) -> None:
    passes.outcomes = [Outcome(again=0.01), Outcome(gone=True)]
    async with running(passes, passes) as queue:
        queue.add(A)
        assert [await passes.next(), await passes.next()] == [A, A]
        await asyncio.sleep(0)
        assert len(queue) == 0
    assert passes.results == ["ok", "gone"]


async def test_its_end_ends_the_passes_under_way(passes: Passes) -> None:
    passes.gates = [asyncio.Event()]
    async with running(passes, passes) as queue:
        queue.add(A)
        await passes.next()
        assert queue.longest_pass() >= 0.0
        assert len(queue) == 1
    assert passes.at_once[A] == 0
    assert passes.results == []
