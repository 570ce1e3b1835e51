"""Runs passes over the models that are due, several at once, never two over the same model."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lepton_operator.api.objects import Key
from lepton_operator.cluster import ClusterError
from lepton_operator.reconcile.backlog import LONGEST_PAUSE, Backlog

WORKERS = 8
LONGEST_OBSTACLE = 60.0
"""Longest pause while somebody else's object stands in the way: we do not see it going."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a pass leaves to do."""

    again: float | None = None
    """Seconds after which to look again although nothing may have changed."""

    obstacle: bool = False
    """Something stands in the way that we do not watch: try again, with growing pauses."""

    gone: bool = False
    """There is no such model."""


Pass = Callable[[Key], Awaitable[Outcome]]
Watch = Callable[[float, str], None]
"""Called for each finished pass with its seconds and `ok`, `obstacle`, `gone` or `error`."""


class Queue:
    """Fed by events; `run` works it off until it is cancelled."""

    def __init__(self, handle: Pass, watch: Watch, workers: int = WORKERS) -> None:
        self._handle = handle
        self._watch = watch
        self._workers = workers
        self._backlog = Backlog(jitter=lambda: random.uniform(0.5, 1.0))
        self._changed = asyncio.Event()
        self._passes: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Models that wait for a pass or are in one."""
        return len(self._backlog)

    def add(self, key: Key, after: float = 0.0) -> None:
        """The model needs a pass, so many seconds from now."""
        self._backlog.add(key, _now() + after)
        self._changed.set()

    def longest_pass(self) -> float:
        """Seconds that the slowest pass under way has taken so far."""
        return self._backlog.longest_in_hand(_now())

    async def run(self) -> None:
        """Work until cancelled; passes under way are cancelled too, which is safe at any point."""
        try:
            while True:
                self._changed.clear()
                self._start_due()
                await self._until_due()
        finally:
            for task in self._passes:
                task.cancel()
            await asyncio.gather(*self._passes, return_exceptions=True)

    def _start_due(self) -> None:
        while len(self._passes) < self._workers and (key := self._backlog.take(_now())):
            task = asyncio.create_task(self._pass(key), name=f"pass over {key}")
            self._passes.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._passes.discard(task)
        self._changed.set()

    async def _until_due(self) -> None:
        due = self._backlog.next_due() if len(self._passes) < self._workers else None
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - _now())):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _pass(self, key: Key) -> None:
        begun = _now()
        try:
            outcome = await self._handle(key)
        except ClusterError as error:
            pause = self._backlog.failed(key, _now())
            kind = type(error).__name__
            logger.warning("%s: %s: %s; again in %.1f s", key, kind, error, pause)
            self._watch(_now() - begun, "error")
        except Exception:
            pause = self._backlog.failed(key, _now())
            logger.exception("%s: the pass failed; again in %.1f s", key, pause)
            self._watch(_now() - begun, "error")
        else:
            self._watch(_now() - begun, self._settle(key, outcome))

    def _settle(self, key: Key, outcome: Outcome) -> str:
        now = _now()
        if outcome.obstacle:
            self._backlog.failed(key, now, min(LONGEST_OBSTACLE, LONGEST_PAUSE))
            return "obstacle"
        self._backlog.succeeded(key, now)
        if outcome.again is not None:
            self._backlog.add(key, now + outcome.again)
        if outcome.gone:
            self._backlog.forget(key)
        return "gone" if outcome.gone else "ok"


def _now() -> float:
    return asyncio.get_running_loop().time()
