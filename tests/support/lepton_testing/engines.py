"""Front and engine joined in a test, over a backend that waits and fails when told."""

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from lepton_worker.backends.base import DecoderSequence, EncodeInput, Progress, Span
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.engine.core import Core
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.link import Port
from lepton_worker.engine.messages import Ready
from lepton_worker.engine.streams import Stream
from lepton_worker.engine.thread_link import ThreadLink
from lepton_worker.errors import (
    DeviceLost,
    OutOfMemory,
    RequestError,
)
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.request import (
    Caller,
    Delta,
    Encoded,
    EncodeJob,
    Event,
    Finish,
    GenerateJob,
    Sampling,
    Task,
    Tokens,
    Vector,
)

POISON, HUNGER, END_OF_WORLD = 66, 77, 88
NOBODY = Caller()


class GatedBackend(EchoBackend):
    """Echo, but it waits for permission before each step, and fails on certain tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)
        self._begun = threading.Semaphore(0)
        self.batches: list[list[tuple[int, ...]]] = []
        self.released: list[DecoderSequence] = []

    async def begins(self, steps: int = 1) -> None:
        """Wait until so many more steps have begun."""
        for _ in range(steps):
            assert await asyncio.to_thread(self._begun.acquire, timeout=10)

    def _pass(self) -> None:
        self._begun.release()
        self.steps.acquire()

    def free(self) -> "GatedBackend":
        """Let every step pass."""
        self.steps.release(10_000)
        return self

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        self._pass()
        self.batches.append([item.tokens.ids for item in inputs])
        if any(POISON in item.tokens.ids for item in inputs):
            raise ZeroDivisionError("secret")
        answers = super().encode(inputs)
        for index, item in enumerate(inputs):
            if HUNGER in item.tokens.ids:
                answers[index] = OutOfMemory("no memory")
        return answers

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        self._pass()
        self.batches.append([span.sequence.prompt.ids for span in spans])
        results = super().step(spans)
        for index, span in enumerate(spans):
            if HUNGER in span.sequence.prompt.ids:
                results[index] = OutOfMemory("no memory")
            if END_OF_WORLD in span.sequence.prompt.ids:
                results[index] = DeviceLost("lost")
        return results

    def release(self, sequence: DecoderSequence) -> None:
        self.released.append(sequence)
        super().release(sequence)


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    model: Model,
    backend: GatedBackend,
    waiting: int = 8,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
    **facts: int,
) -> AsyncIterator[Engine]:
    clock = clock or Clock()
    told = dataclasses.replace(model, **{"slots": 2, **facts})  # type: ignore[arg-type]

    def main(port: Port) -> None:
        port.send([Ready(told)])
        Core(backend, told, port, clock).run()

    metrics = Metrics("m", registry or CollectorRegistry())
    engine = Engine(ThreadLink(main), waiting, metrics, clock)
    await engine.load(lambda name, seconds: None)
    try:
        yield engine
    finally:
        backend.free()
        await engine.close()


def start(
    engine: Engine,
    job: GenerateJob | EncodeJob,
    deadline: float | None = None,
    caller: Caller = NOBODY,
) -> Stream:
    return engine.start(engine.admit(caller, deadline), job)


def a_text(*ids: int, sampling: Sampling | None = None) -> GenerateJob:
    ends = frozenset([256])
    return GenerateJob(Tokens(ids), sampling or Sampling(20, ends=ends))


def a_list(*inputs: tuple[int, ...]) -> EncodeJob:
    return EncodeJob(Task.EMBED, tuple(Tokens(ids) for ids in inputs))


async def whole(stream: Stream) -> list[Event]:
    events: list[Event] = []
    while not events or not isinstance(events[-1], (Finish, Encoded)):
        events += await stream.take()
    return events


def text_of(events: list[Event]) -> str:
    ids = [token for event in events if isinstance(event, Delta) for token in event.ids]
    return bytes(token for token in ids if token < 256).decode()
