"""The engine's loop without a thread: each step is the test's own, and what it led to is kept."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from lepton_worker.backends.base import Backend
from lepton_worker.engine.core import Core
from lepton_worker.engine.messages import (
    Cancel,
    Ended,
    Failed,
    FromEngine,
    NewTokens,
    Report,
    Submit,
    ToEngine,
    Vectors,
)
from lepton_worker.errors import RequestError
from lepton_worker.model import Model
from lepton_worker.request import Caller, EncodeJob, GenerateJob, Job, Sampling, Tokens
from lepton_worker.scheduler.entries import NEIGHBOUR_FACTOR


class Hand:
    """A port whose other end is the test."""

    def __init__(self) -> None:
        self.inbox: list[ToEngine] = []
        self.told: list[FromEngine] = []

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Keep them."""
        self.told += messages

    def take(self, wait: bool) -> list[ToEngine]:
        """What the test has put there."""
        taken, self.inbox = self.inbox, []
        return taken


class Driven:
    """A core on a loaded backend, with limits in place of the model's own."""

    def __init__(
        self,
        backend: Backend,
        model: Model,
        *,
        neighbour_factor: float = NEIGHBOUR_FACTOR,
        **limits: Any,
    ) -> None:
        self._hand = Hand()
        self._task = model.task
        self._numbers = itertools.count(1)
        limited = dataclasses.replace(model, **limits)
        self.core = Core(backend, limited, self._hand, neighbour_factor=neighbour_factor)
        self.open: set[int] = set()
        self.ids: dict[int, list[int]] = {}
        self.ended: dict[int, Ended] = {}
        self.failed: dict[int, RequestError] = {}
        self.vectors: dict[int, Vectors] = {}
        self.reports: list[Report] = []

    def text(self, prompt: Sequence[int], count: int, priority: int = 0, **sampling: Any) -> int:
        """Submit a text; returns its number."""
        adapter, tenant = sampling.pop("adapter", ""), sampling.pop("tenant", "")
        job = GenerateJob(Tokens(tuple(prompt)), Sampling(count, **sampling), adapter)
        return self.submit(job, priority, tenant=tenant)

    def inputs(self, inputs: Sequence[Tokens], adapter: str = "") -> int:
        """Submit inputs of an encoder; returns their number."""
        return self.submit(EncodeJob(self._task, tuple(inputs), adapter))

    def submit(
        self, job: Job, priority: int = 0, deadline: float | None = None, tenant: str = ""
    ) -> int:
        """Submit any job; returns its number."""
        number = next(self._numbers)
        self._hand.inbox.append(Submit(number, job, Caller(tenant, priority), 0.0, deadline))
        self.open.add(number)
        self.ids[number] = []
        return number

    def cancel(self, number: int) -> None:
        """The caller has gone."""
        self._hand.inbox.append(Cancel(number))
        self.open.discard(number)

    def step(self, times: int = 1) -> None:
        """So many rounds of the engine, fewer when everything has ended."""
        for _ in range(times):
            self.core.take(wait=False)
            self._read()
            if not self.open:
                return
            self.core.step()
            self._read()

    def finish(self, most: int = 5000) -> "Driven":
        """Rounds until everything has ended."""
        self.step(most)
        assert not self.open, "still running"
        return self

    def _read(self) -> None:
        # What a step leaves is told with the next one, or by the loop that is not there.
        self.core._tell()
        told, self._hand.told = self._hand.told, []
        for message in told:
            if isinstance(message, NewTokens):
                self.ids[message.number] += message.ids
            elif isinstance(message, Ended):
                self.ended[message.number] = message
            elif isinstance(message, Failed):
                self.failed[message.number] = message.error
            elif isinstance(message, Vectors):
                self.vectors[message.number] = message
            elif isinstance(message, Report):
                self.reports.append(message)
            if isinstance(message, (Ended, Failed, Vectors)):
                self.open.discard(message.number)

    @property
    def evicted(self) -> int:
        """How often a text had to leave its slot."""
        return self.reports[-1].evicted if self.reports else 0


def leftovers(core: Core, backend: Any) -> dict[str, int]:
    """What engine and backend still hold of requests; empty when nothing."""
    planner = core._planner
    held = {
        "entries": len(core._entries),
        "running": planner.running,
        "waiting": planner.waiting,
        "reserved": planner.cache_reserved,
    }
    decoder = getattr(backend, "_decoder", None)
    if decoder is not None:
        held |= {"texts": decoder.texts, "slots": decoder.running}
        held["samplers"] = len(decoder._sampler._rows) if hasattr(decoder._sampler, "_rows") else 0
    stock = getattr(backend, "_stock", None)
    if stock is not None and stock._decoder is not None:
        held["caches"] = len(stock._decoder._states)
    return {what: count for what, count in held.items() if count}
