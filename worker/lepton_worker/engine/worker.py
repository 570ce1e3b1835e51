"""The life of a worker: it loads, serves, drains. What the outside asks goes through here."""

import asyncio
import enum
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lepton_worker import __version__
from lepton_worker.backends.base import AdapterFacts
from lepton_worker.backends.profiling import Profile
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.fetching import fetched
from lepton_worker.engine.link import Link
from lepton_worker.engine.messages import Source
from lepton_worker.engine.side import main_of
from lepton_worker.engine.thread_link import ThreadLink
from lepton_worker.errors import Draining, ModelLoading
from lepton_worker.metric_aliases import Facts
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model, Tokenized
from lepton_worker.settings import Settings
from lepton_worker.tasks.prepare import tokenized

log = logging.getLogger(__name__)

TOKENIZER_THREADS = 2
MOST_LOSSES, LOSS_SECONDS = 5, 120.0
"""An engine that is lost more often than so within that time is beyond help."""


class State(enum.Enum):
    """Where in its life a worker is."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True)
class Load:
    """How busy a worker is: calls, tokens, seconds, and the share of the cache in use."""

    waiting: int
    running: int
    max_waiting: int
    max_running: int
    waiting_tokens: int
    estimated_wait: float
    cache_usage: float


class Worker:
    """One model, from the start of its process to the end."""

    def __init__(
        self, settings: Settings, metrics: Metrics, started_at: float, link: Link | None = None
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.state = State.LOADING
        self.start_up: dict[str, float] = {}
        self.adapters: dict[str, AdapterFacts] = {}
        self._fetched: asyncio.Task[Source] | None = None
        self._refuses = False
        self._loaded = False
        self._engine = Engine(
            link or ThreadLink(main_of(settings)), settings.max_queue_depth, metrics
        )
        self._watch: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[object] | None = None
        self._started_at = started_at
        self._tokenizer_threads = ThreadPoolExecutor(
            TOKENIZER_THREADS, thread_name_prefix="tokenizer"
        )

    @property
    def model(self) -> Model | None:
        """The model, once it is loaded."""
        return self._engine.model if self._loaded else None

    @property
    def load(self) -> Load:
        """What is in hand."""
        engine, report = self._engine, self._engine.report
        return Load(
            waiting=engine.waiting,
            running=engine.running,
            max_waiting=self.settings.max_queue_depth,
            max_running=engine.model.slots if self._loaded else 0,
            waiting_tokens=report.waiting_tokens if engine.waiting + engine.running else 0,
            estimated_wait=engine.estimated_wait,
            cache_usage=report.cache_used / report.cache_tokens if report.cache_tokens else 0.0,
        )

    async def open(self) -> None:
        """Load the model and begin to serve; raises LoadError."""
        model = await self._engine.load(self._record, self._source())
        engine = self._engine
        self.metrics.watch_queue(
            lambda: engine.waiting, lambda: engine.running, lambda: engine.oldest_wait
        )
        self._watch_memory()
        self.metrics.build(
            {
                "version": __version__,
                "task": model.task.value,
                "architecture": model.architecture,
                "backend": model.backend,
                "device": model.device,
                "dtype": model.dtype,
            }
        )
        for what, choice in sorted(model.choices.items()):
            log.info("chosen %s: %s", what, choice)
        self._loaded = True
        self._watch = asyncio.create_task(self._watch_engine(), name="engine watch")
        if self.state is State.LOADING:
            self.state = State.SERVING

    def _source(self) -> Awaitable[Source] | None:
        """The model's folder as soon as it is there: fetched for the first engine alone."""
        settings = self.settings
        if settings.backend == "echo":
            return None
        if self._fetched is None:
            work = fetched(settings, self._record)
            self._fetched = asyncio.create_task(work, name="fetch")
        return self._fetched

    def _watch_memory(self) -> None:
        """Of the front, and of the engine where that is another process."""
        front = os.getpid()
        self.metrics.watch_memory("front", lambda: front)
        if self._engine.pid != front:
            self.metrics.watch_memory("engine", lambda: self._engine.pid)

    def alias_facts(self) -> Facts:
        """What the names of others need besides our own metrics."""
        if not self._loaded:
            return Facts()
        return Facts(
            adapters=tuple(sorted(self.adapters)),
            running=self._engine.adapters_in_hand(running=True),
            waiting=self._engine.adapters_in_hand(running=False),
            cache_tokens=self._engine.model.cache_tokens,
        )

    async def _watch_engine(self) -> None:
        """Replace an engine that is lost; raises when that happens too often."""
        losses: deque[float] = deque(maxlen=MOST_LOSSES)
        while True:
            assert self._engine.lost is not None
            how = await self._engine.lost
            now = time.monotonic()
            losses.append(now)
            if len(losses) == MOST_LOSSES and now - losses[0] < LOSS_SECONDS:
                raise RuntimeError(f"the engine was lost {MOST_LOSSES} times: {how}")
            self.metrics.engine_restarts.inc()
            await self._engine.load(self._record, self._source())
            for facts in self.adapters.values():
                await self._engine.ask("load_adapter", facts.name, facts.folder, facts.source)
            log.info("a new engine computes")

    def running(self) -> "asyncio.Task[None]":
        """Runs as long as the engine does; never ends by itself, unless by a bug."""
        assert self._watch is not None, "the model is not loaded"
        return self._watch

    def _record(self, phase: str, seconds: float) -> None:
        self.start_up[phase] = seconds
        self.metrics.loaded(phase, seconds)

    def engine(self) -> Engine:
        """The engine, if requests are taken now; raises ModelLoading or Draining."""
        if self._refuses:
            raise Draining("this worker is about to end; another one has to answer", retry_after=1)
        if not self._loaded:
            passed = time.monotonic() - self._started_at
            raise ModelLoading(
                f"the model has been loading for {passed:.0f} s", retry_after=patience(passed)
            )
        return self._engine

    async def load_adapter(self, name: str, folder: str, source: str) -> AdapterFacts:
        """Make an adapter available; raises LoadError."""
        facts = await self._engine.ask("load_adapter", name, folder, source)
        assert isinstance(facts, AdapterFacts)
        self.adapters[name] = facts
        return facts

    async def unload_adapter(self, name: str) -> None:
        """Take no further calls for it, finish those in hand, forget it."""
        self.adapters.pop(name, None)
        await self._engine.without_adapter(name)
        await self._engine.ask("unload_adapter", name)

    async def profile(self, steps: int, trace: bool) -> Profile:
        """Record the engine's next steps; lost when the caller hangs up before they are over."""
        self.engine()
        try:
            recorded = await self._engine.ask("profile", steps, trace)
        except asyncio.CancelledError:
            self._ending = asyncio.create_task(self._engine.ask("end_profile"))
            raise
        assert isinstance(recorded, Profile)
        return recorded

    async def tokenize(self, model: Model, texts: Sequence[str], truncate: bool) -> list[Tokenized]:
        """Tokenize beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._tokenizer_threads, tokenized, model, texts, truncate
        )

    def refuse(self) -> None:
        """Take no further requests."""
        self._refuses = True

    async def finish(self, seconds: float) -> None:
        """Wait until nothing is in hand, for so long at most; then end what is left."""
        try:
            await asyncio.wait_for(self._engine.idle(), max(0.0, seconds))
        except TimeoutError:
            self._engine.cut()

    async def close(self) -> None:
        """End the engine and the threads, once nothing is in hand."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._engine.close()
        self._tokenizer_threads.shutdown(wait=False, cancel_futures=True)


def patience(passed: float) -> float:
    """How long to wait for a model that has been loading for so many seconds already."""
    return min(30.0, max(1.0, passed / 2))
