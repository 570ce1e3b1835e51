"""A small load generator over gRPC, for the demo, the end-to-end tests and the benchmarks.

    report = await run_load(lambda: ["10.0.0.7:9000"], call, LoadPlan(Concurrency(8), seconds=30))

Requests go to the targets in turn, over one channel each; targets may come and go meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

import grpc

from lepton_demo.arrivals import Concurrency, Poisson
from lepton_demo.tally import LoadReport, Tally

TargetProvider = Callable[[], Sequence[str]]
"""Addresses (host:port) that take calls now. Asked before every attempt, so it has to be cheap."""

MakeCall = Callable[[grpc.aio.Channel, int], Awaitable[object]]
"""One request over a channel; the number counts requests from 0. Its answer is not looked at."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
NO_TARGET = "NO_TARGET"
REFUSALS = (NO_TARGET, grpc.StatusCode.UNAVAILABLE.name)


@dataclass(frozen=True)
class LoadPlan:
    """How much is asked, for how long, and how patiently."""

    arrivals: Poisson | Concurrency
    seconds: float
    """How long new requests are sent; what is under way then is waited for."""

    timeout: float = 30.0
    """Seconds until an attempt is given up; it counts as DEADLINE_EXCEEDED."""

    attempts: int = 1
    """Attempts at a request that is refused (UNAVAILABLE): nobody worked on it, so the next worker
    may be asked."""


async def run_load(
    target_provider: TargetProvider,
    make_call: MakeCall,
    plan: LoadPlan,
    *,
    tally: Tally | None = None,
    stop: asyncio.Event | None = None,
) -> LoadReport:
    """Send requests as planned until the time is over or `stop` is set, and say what came of them.

    `tally` may be read while the load runs. Latency counts from the moment a request was meant to
    arrive, so a generator or a server that falls behind cannot hide it.
    """
    load = _Load(target_provider, make_call, plan, tally or Tally(), stop or asyncio.Event())
    return await load.run()


class _Channels:
    """One open channel for each target in use."""

    def __init__(self, targets: TargetProvider) -> None:
        self._targets = targets
        self._open: dict[str, grpc.aio.Channel] = {}
        self._turn = 0
        self._closing: set[asyncio.Task[None]] = set()

    def next(self, tried: Set[str]) -> tuple[str, grpc.aio.Channel] | None:
        """Return the next target in turn, one that was not tried yet if there is any."""
        targets = list(self._targets())
        for gone in self._open.keys() - set(targets):
            self._retire(self._open.pop(gone))
        if not targets:
            return None
        self._turn += 1
        choice = [target for target in targets if target not in tried] or targets
        target = choice[self._turn % len(choice)]
        if target not in self._open:
            self._open[target] = grpc.aio.insecure_channel(target)
        return target, self._open[target]

    def _retire(self, channel: grpc.aio.Channel) -> None:
        # A draining worker still finishes what it has in hand, so those calls keep their channel.
        task = asyncio.ensure_future(channel.close(grace=60.0))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for channel in self._open.values():
            await channel.close(grace=None)
        await asyncio.gather(*self._closing)


class _Load:
    def __init__(
        self,
        targets: TargetProvider,
        make_call: MakeCall,
        plan: LoadPlan,
        tally: Tally,
        stop: asyncio.Event,
    ) -> None:
        self._make_call = make_call
        self._plan = plan
        self._tally = tally
        self._stop = stop
        self._channels = _Channels(targets)
        self._now = asyncio.get_running_loop().time

    async def run(self) -> LoadReport:
        start = self._now()
        try:
            if isinstance(self._plan.arrivals, Poisson):
                await self._open_loop(self._plan.arrivals, start)
            else:
                await self._closed_loop(self._plan.arrivals, start)
        finally:
            await self._channels.close()
        return self._tally.report(self._now() - start)

    async def _open_loop(self, arrivals: Poisson, start: float) -> None:
        async with asyncio.TaskGroup() as group:
            for offset in arrivals.offsets(self._plan.seconds):
                if await self._stopped_before(start + offset):
                    return
                group.create_task(self._request(start + offset))

    async def _closed_loop(self, arrivals: Concurrency, start: float) -> None:
        async def caller() -> None:
            while not self._stop.is_set() and self._now() < start + self._plan.seconds:
                if not await self._request(self._now()):
                    # A refusal comes at once; asking again at once would be an attack.
                    await self._stopped_before(self._now() + FIRST_PAUSE)

        async with asyncio.TaskGroup() as group:
            for _ in range(arrivals.callers):
                group.create_task(caller())

    async def _stopped_before(self, moment: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self._stop.wait()
        return self._stop.is_set()

    async def _request(self, arrival: float) -> bool:
        """Return whether it was answered."""
        number = self._tally.sent
        self._tally.sent += 1
        pause, tried = FIRST_PAUSE, set[str]()
        for attempt in range(1, self._plan.attempts + 1):
            failure = await self._attempt(number, arrival, tried)
            if failure is None:
                return True
            if failure not in REFUSALS or attempt == self._plan.attempts:
                self._tally.failures[failure] += 1
                break
            self._tally.retries += 1
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        return False

    async def _attempt(self, number: int, arrival: float, tried: set[str]) -> str | None:
        """Return None when answered, else the name of the status."""
        chosen = self._channels.next(tried)
        if chosen is None:
            return NO_TARGET
        target, channel = chosen
        tried.add(target)
        try:
            async with asyncio.timeout(self._plan.timeout):
                await self._make_call(channel, number)
        except TimeoutError:
            return grpc.StatusCode.DEADLINE_EXCEEDED.name
        except grpc.aio.AioRpcError as error:
            return error.code().name
        self._tally.answer(target, arrival, self._now())
        return None
