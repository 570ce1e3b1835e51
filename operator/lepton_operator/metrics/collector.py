"""Asks every worker for its load once a second and keeps what they said."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from lepton_operator.metrics import freshness
from lepton_operator.metrics.channel import Dial, Worker, WorkerSilent
from lepton_operator.metrics.freshness import Depth, Reading, Source, Unknown
from lepton_operator.metrics.roster import ModelKey, Roster
from lepton_operator.metrics.telemetry import Telemetry

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two questions to the same worker."""

_GOLDEN = 0.618033988749895


@dataclass
class _Follower:
    """One worker that is being asked."""

    source: Source
    model: ModelKey
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class Tools:
    """What the collector does not make itself."""

    dial: Dial
    clock: Callable[[], float]
    telemetry: Telemetry
    period: float = PERIOD


class Collector:
    """One task for each worker: a slow one delays nobody else, and at most one question is open."""

    def __init__(self, roster: Roster, tools: Tools) -> None:
        self._roster, self._tools = roster, tools
        self._followers: dict[str, _Follower] = {}
        self._readings: dict[str, Reading] = {}
        self._places = count()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self.follow()
            await asyncio.Event().wait()

    def follow(self) -> None:
        """Ask exactly the workers in the roster; to be called after each change of it."""
        if self._group is None:
            return
        wanted = {source.id: (model, source) for model, source in self._roster.all()}
        for key, follower in list(self._followers.items()):
            if key not in wanted or wanted[key][1].address != follower.source.address:
                self._dismiss(key)
        for key, (model, source) in wanted.items():
            if key in self._followers:
                self._followers[key].source = source
            else:
                self._employ(self._group, model, source)

    def depth(self, model: ModelKey) -> Depth | Unknown:
        """Queue depth of a model, now."""
        return freshness.depth(self._roster.sources(model), self._readings, self._tools.clock())

    def asked_all(self) -> bool:
        """Whether each worker answered or failed once."""
        return all(
            reading.at is not None or reading.failure
            for key in self._followers
            for reading in (self._readings.get(key, Reading()),)
        )

    def _employ(self, group: asyncio.TaskGroup, model: ModelKey, source: Source) -> None:
        follower = _Follower(source, model)
        self._followers[source.id] = follower
        follower.task = group.create_task(self._ask_on(follower), name=source.name)

    def _dismiss(self, key: str) -> None:
        follower = self._followers.pop(key)
        self._readings.pop(key, None)
        if follower.task:
            follower.task.cancel()

    async def _ask_on(self, follower: _Follower) -> None:
        tools = self._tools
        # The first question at once; then evenly spread over the period, however many workers there
        # are, so that an answer to the HPA never waits behind a burst.
        due = tools.clock() + tools.period * (next(self._places) * _GOLDEN % 1)
        async with tools.dial(follower.source.address) as worker:
            while True:
                await self._ask(follower, worker)
                await asyncio.sleep(max(0.0, due - tools.clock()))
                due = max(due + tools.period, tools.clock())

    async def _ask(self, follower: _Follower, worker: Worker) -> None:
        key, clock = follower.source.id, self._tools.clock
        before, asked = self._readings.get(key, Reading()), clock()
        try:
            load = await worker.load()
        except WorkerSilent as error:
            after = before.failed(str(error))
        else:
            after = before.answered(load.waiting, load.running, asked)
        self._readings[key] = after
        self._tools.telemetry.asked(clock() - asked, failed=bool(after.failure))
        _report(follower, before, after)


def _report(follower: _Follower, before: Reading, after: Reading) -> None:
    """Log when a worker falls silent or speaks again, not each second."""
    source = follower.source
    who = f"model {follower.model.namespace}/{follower.model.name}: worker {source.name}"
    if after.failure and not before.failure:
        level = logging.WARNING if source.ready else logging.DEBUG
        log.log(level, "%s (%s) does not answer: %s", who, source.address, after.failure)
    elif before.failure and not after.failure:
        log.info("%s answers again", who)
