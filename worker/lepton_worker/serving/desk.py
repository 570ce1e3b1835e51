"""Taking a request in: is it for this model and this task, is there room, how long may it take?"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lepton.v1 import common_pb2
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.outbox import Outbox
from lepton_worker.engine.runs import Run
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import DeadlineExceeded, ModelNotFound, TaskNotServed
from lepton_worker.model import Model
from lepton_worker.request import Encoded, Job, Task
from lepton_worker.scheduler.scheduler import Ticket
from lepton_worker.serving.calls import Context

RPCS = {Task.GENERATE: "Generate", Task.CLASSIFY: "Classify", Task.EMBED: "Embed"}


@dataclass(frozen=True)
class Seat:
    """An admitted request's place, until its caller is done."""

    engine: Engine
    ticket: Ticket[Run]

    @property
    def model(self) -> Model:
        """The model that will answer."""
        return self.engine.model

    def start(self, job: Job) -> tuple[Outbox, int]:
        """Let it run; returns where the answers come and how many wait in front."""
        run, position = self.engine.start(self.ticket, job)
        return run.outbox, position

    async def encoded(self, job: Job) -> Encoded:
        """Let it run and wait for its vectors."""
        outbox, _ = self.start(job)
        for event in await outbox.take():
            if isinstance(event, Encoded):
                return event
        raise AssertionError("an encode job ends with vectors or an error")


@contextlib.contextmanager
def seated(
    worker: Worker, task: Task, meta: common_pb2.RequestMeta, context: Context
) -> Iterator[Seat]:
    """A place in the queue for as long as the block lasts; raises why there is none."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise DeadlineExceeded("the deadline had passed before the request was taken in")
    served = worker.settings.model_name
    if meta.model and meta.model != served:
        raise ModelNotFound(
            f"this server serves {served!r}, not {meta.model!r}", metadata={"served": served}
        )
    engine = worker.engine()
    if task not in engine.model.offers:
        raise TaskNotServed(
            f"{served!r} is served for {engine.model.task}, and {RPCS[task]} is for {task}; "
            f"call {RPCS[engine.model.task]}",
            metadata={"task": engine.model.task, "asked": task},
        )
    ticket = engine.admit(None if remaining is None else time.monotonic() + remaining)
    try:
        yield Seat(engine, ticket)
    finally:
        engine.leave(ticket)
