"""The load on a model: send it, watch what Kubernetes makes of it, stop it, watch it go."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from lepton_demo import advice, view
from lepton_demo.arrivals import Concurrency
from lepton_demo.errors import NotReached
from lepton_demo.load import LoadPlan, run_load
from lepton_demo.observing import Observer
from lepton_demo.questions import embedding_call
from lepton_demo.reach import Reach
from lepton_demo.scaling import Story
from lepton_demo.screen import Step
from lepton_demo.tally import LoadReport, Tally
from lepton_demo.texts import LOAD_SENTENCES

TICK = 1.0
ATTEMPTS = 5
TEXTS_AT_ONCE = 4
QUIET_SECONDS = 240.0
DOWN_SECONDS = 420.0
AFTERGLOW_SECONDS = 12.0
"""How much longer the load runs once all workers serve, so that they are seen to share it."""


@dataclass
class Trial:
    """One load on one model, from the quiet before it to the quiet after it."""

    observer: Observer
    namespace: str
    callers: int
    load_seconds: float
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self.story = Story(workers_before=0, load_start=self._now())

    async def quiet(self, step: Step) -> None:
        """Wait until the workers are as few as may be and the queue is known and empty."""
        step.note("waiting until nothing moves")
        if not await self._until(self._is_quiet, QUIET_SECONDS, lambda: None):
            raise self._not_reached(advice.not_quiet(self.story))
        self.story = Story(workers_before=self.story.samples[-1].ready, load_start=self._now())

    async def rise(self, reach: Reach, step: Step) -> LoadReport:
        """Send the load until as many workers serve as may be, then a little longer."""
        stop = asyncio.Event()
        plan = LoadPlan(Concurrency(self.callers), self.load_seconds, timeout=60, attempts=ATTEMPTS)
        call = embedding_call(self.observer.model, LOAD_SENTENCES, TEXTS_AT_ONCE)
        async with reach.workers(self.observer.model) as targets:
            self.story.load_start = self._now()
            load = asyncio.create_task(run_load(targets, call, plan, tally=self.tally, stop=stop))
            try:
                risen = await self._until(
                    lambda: load.done() or self._has_risen(), self.load_seconds, self._draw(step)
                )
                if risen and not load.done():
                    await self._until(lambda: False, AFTERGLOW_SECONDS, self._draw(step))
                stop.set()
                report = await load
            finally:
                load.cancel()
                with suppress(asyncio.CancelledError):
                    await load
        self.story.load_end = self._now()
        return report

    def require_rise(self) -> None:
        """Raise NotReached unless the load made as many workers serve as may be."""
        if self.story.milestones().peak < self._most():
            raise self._not_reached(advice.not_risen(self.story, self.observer.seen_pods()))

    async def fall(self, step: Step) -> None:
        """Wait until only the workers from before the load are left; raises NotReached."""
        if not await self._until(self.story.settled, DOWN_SECONDS, self._draw(step)):
            raise self._not_reached(advice.not_settled(self.story))

    async def _until(
        self, claim: Callable[[], bool], seconds: float, draw: Callable[[], None]
    ) -> bool:
        end = self._now() + seconds
        while True:
            self.story.samples.append(self.observer.sample(self._now()))
            draw()
            if claim():
                return True
            if self._now() >= end:
                return False
            await asyncio.sleep(TICK)

    def _draw(self, step: Step) -> Callable[[], None]:
        return lambda: step.figures(self.story, view.traffic(self.tally, self._now()))

    def _is_quiet(self) -> bool:
        last = self.story.samples[-1]
        if last.autoscaler is None or last.queue != 0:
            return False
        return last.ready == last.existing == last.desired == last.autoscaler.fewest

    def _has_risen(self) -> bool:
        return self.story.risen(self._most())

    def _most(self) -> int:
        scaler = self.story.samples[-1].autoscaler
        return scaler.most if scaler else 1

    def _not_reached(self, what: str) -> NotReached:
        return NotReached(what, advice.scaling_commands(self.observer.model, self.namespace))
