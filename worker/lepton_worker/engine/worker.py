"""The life of a worker: it loads, serves, drains. What the outside asks goes through here."""

import asyncio
import enum
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lepton_worker import __version__
from lepton_worker.engine.engine import Engine, Loaded
from lepton_worker.engine.load import load
from lepton_worker.errors import Draining, ModelLoading
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model, Tokenized
from lepton_worker.scheduler.scheduler import Limits
from lepton_worker.settings import Settings
from lepton_worker.tasks.prepare import tokenized

TOKENIZER_THREADS = 2


class State(enum.Enum):
    """Where in its life a worker is."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True)
class Load:
    """How busy a worker is, in requests."""

    waiting: int
    running: int
    max_waiting: int


class Worker:
    """One model, from the start of its process to the end."""

    def __init__(self, settings: Settings, metrics: Metrics, started_at: float) -> None:
        self.settings = settings
        self.metrics = metrics
        self.state = State.LOADING
        self.start_up: dict[str, float] = {}
        self._refuses = False
        self._engine: Engine | None = None
        self._loop: asyncio.Task[None] | None = None
        self._started_at = started_at
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._tokenizer_threads = ThreadPoolExecutor(
            TOKENIZER_THREADS, thread_name_prefix="tokenizer"
        )

    @property
    def model(self) -> Model | None:
        """The model, once it is loaded."""
        return self._engine.model if self._engine else None

    @property
    def load(self) -> Load:
        """Requests in hand."""
        engine = self._engine
        waiting, running = (engine.waiting, engine.running) if engine else (0, 0)
        return Load(waiting, running, self.settings.max_queue_depth)

    async def open(self) -> None:
        """Load the model and begin to serve; raises LoadError."""
        loop = asyncio.get_running_loop()
        backend, model = await loop.run_in_executor(
            self._model_thread, load, self.settings, self._record
        )
        limits = Limits(self.settings.max_batch_size, self.settings.max_queue_depth)
        engine = Engine(Loaded(backend, model, self._model_thread), limits, self.metrics)
        self.metrics.watch_queue(lambda: engine.waiting, lambda: engine.running)
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
        self._engine = engine
        self._loop = loop.create_task(engine.run(), name="engine")
        if self.state is State.LOADING:
            self.state = State.SERVING

    def running(self) -> "asyncio.Task[None]":
        """The engine's loop; it never ends by itself, unless by a bug."""
        assert self._loop is not None, "the model is not loaded"
        return self._loop

    def _record(self, phase: str, seconds: float) -> None:
        self.start_up[phase] = seconds
        self.metrics.loaded(phase, seconds)

    def engine(self) -> Engine:
        """The engine, if requests are taken now; raises ModelLoading or Draining."""
        if self._refuses:
            raise Draining("this worker is about to end; another one has to answer", retry_after=1)
        if self._engine is None:
            passed = time.monotonic() - self._started_at
            raise ModelLoading(
                f"the model has been loading for {passed:.0f} s", retry_after=patience(passed)
            )
        return self._engine

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
        if self._engine is None:
            return
        try:
            await asyncio.wait_for(self._engine.idle(), max(0.0, seconds))
        except TimeoutError:
            self._engine.cut()

    async def close(self) -> None:
        """End the loop and the threads, once nothing is in hand."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        self._model_thread.shutdown(wait=False, cancel_futures=True)
        self._tokenizer_threads.shutdown(wait=False, cancel_futures=True)


def patience(passed: float) -> float:
    """How long to wait for a model that has been loading for so many seconds already."""
    return min(30.0, max(1.0, passed / 2))
