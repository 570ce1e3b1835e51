"""The demo from its first step to its last: bring up, ask, load, sum up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lepton_demo import advice, asking, closing, install
from lepton_demo.elastic import Trial
from lepton_demo.errors import DemoError, NotReached
from lepton_demo.figures import Outcome
from lepton_demo.observing import observed
from lepton_demo.options import Options
from lepton_demo.reading import health
from lepton_demo.screen import Screen, Step
from lepton_demo.site import Site
from lepton_demo.tally import LoadReport
from lepton_demo.texts import ENCODER, MODELS

FAILED_SECONDS = 45.0
"""How long a model may say that it failed before the demo gives up: a first try may miss."""


@dataclass
class Demo:
    """One run."""

    options: Options
    site: Site
    screen: Screen
    clock: Callable[[], float] = time.monotonic
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self._start = self.clock()
        self._done = 0
        self._labels = [
            *(step.label for step in self.site.preparations()),
            *("Example models", "Ready", "Answers"),
            *(("Quiet", "Load", "After the load") if self.options.load else ()),
        ]

    async def run(self) -> None:
        """Do everything; raises DemoError."""
        for preparation in self.site.preparations():
            with self._step(preparation.label) as step:
                step.done(await preparation.action(step.note))
        with self._step("Example models") as step:
            step.done(await self._apply())
        with self._step("Ready") as step:
            await self._ready(step)
        with self._step("Answers") as step:
            await self._answers(step)
        if self.options.load:
            await self._elastic()
        self.outcome.seconds = self._passed()
        self.screen.show(closing.summary(self.outcome))
        self.screen.show(closing.next_steps(self.options, self.site))

    async def _apply(self) -> str:
        namespace, folder = self.options.namespace, self.site.examples
        await install.ensure_namespace(self.site.kubectl, namespace)
        await self.site.kubectl.run(
            "apply", "--server-side", "--namespace", namespace, "--filename", str(folder)
        )
        shown = folder.relative_to(folder.parents[1])
        return f"kubectl apply -n {namespace} -f {shown}"

    async def _ready(self, step: Step) -> None:
        namespace, start = self.options.namespace, self.clock()
        failed_since: float | None = None
        async with self.site.kubectl.watch("leptonmodels", "-n", namespace) as watch:
            while True:
                healths = {name: health(watch.objects.get(name)) for name in MODELS}
                if all(state.ready for state in healths.values()):
                    break
                step.note(advice.waiting_for(healths))
                passed = self.clock() - start
                failing = any(state.failed for state in healths.values())
                failed_since = (failed_since or passed) if failing else None
                lasting = failed_since is not None and passed - failed_since > FAILED_SECONDS
                if lasting or passed > self.options.ready_seconds:
                    look = advice.model_commands(healths, namespace, self.options.system_namespace)
                    raise NotReached(advice.not_ready(healths, passed), look)
                await watch.changed(1.0)
        self.outcome.ready_seconds = self.clock() - start
        step.done(", ".join(MODELS))

    async def _answers(self, step: Step) -> None:
        asker = asking.Asker(self.site.reach(self.options.namespace), self.screen)
        await asker.embed()
        self.outcome.first_answer_seconds = self._passed()
        self.outcome.warm = self.site.warm
        await asker.classify(random_weights=self.site.random_weights)
        await asker.generate(step, random_weights=self.site.random_weights)
        step.done("three models, three tasks")

    async def _elastic(self) -> None:
        options, kubectl = self.options, self.site.kubectl
        async with observed(kubectl, options.namespace, ENCODER) as observer:
            trial = Trial(observer, options.namespace, options.callers, options.load_seconds)
            with self._step("Quiet") as step:
                await trial.quiet(step)
                step.done(f"1 worker of {ENCODER}, nothing in its queue")
            with self._step("Load") as step:
                step.note(f"{options.callers} callers on {ENCODER}")
                self.outcome.load = await trial.rise(self.site.reach(options.namespace), step)
                self.outcome.milestones = trial.story.milestones()
                trial.require_rise()
                step.done(closing.rise(self.outcome))
            with self._step("After the load") as step:
                step.note("the autoscaler waits a moment, then lets workers go")
                await trial.fall(step)
                self.outcome.milestones = trial.story.milestones()
                step.done(closing.fall(self.outcome))
        _require_answers(self.outcome.load)

    @contextmanager
    def _step(self, label: str) -> Iterator[Step]:
        self._done += 1
        with self.screen.step(f"{self._done}/{len(self._labels)} {label}") as step:
            yield step

    def _passed(self) -> float:
        return self.clock() - self._start


def _require_answers(load: LoadReport) -> None:
    if load.lost:
        statuses = ", ".join(f"{count} {status}" for status, count in load.failures.items())
        raise DemoError(f"{load.lost} of {load.sent} requests of the load were lost: {statuses}")
