"""Taking a request in: is it for this model and this task, is there room, how long may it take?"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lepton.v1 import common_pb2
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.streams import Stream, Ticket
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import (
    AdapterNotFound,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Violation,
)
from lepton_worker.model import Model
from lepton_worker.request import (
    NO_OBJECTIVES,
    Caller,
    Encoded,
    EncodeJob,
    GenerateJob,
    Job,
    Objectives,
    Task,
)
from lepton_worker.serving.calls import Context
from lepton_worker.serving.records import current
from lepton_worker.tasks.offers import GENERATION, TEXT, refusal

TENANT_KEYS = ("x-lepton-tenant", "x-gateway-inference-fairness-id")
PRIORITY_KEY = "x-lepton-priority"
ADAPTER_KEY = "x-lepton-adapter"
TTFT_KEY, TPOT_KEY = "x-slo-ttft-ms", "x-slo-tpot-ms"
"""Objectives in milliseconds, by the names that llm-d's and GKE's gateways know."""
PACED = frozenset({"Generate", "Chat", "ModelInfer"})
"""Calls whose texts come token by token; of the others nobody sees the first one."""
LEAST_SECONDS = 0.001
"""With less than that left a deadline has passed: no answer would reach its caller."""
LOWEST, HIGHEST = -100, 100
LONGEST_TENANT = 128


@dataclass(frozen=True)
class Seat:
    """An admitted request's place, until its caller is done."""

    engine: Engine
    ticket: Ticket
    adapter: str = ""

    @property
    def model(self) -> Model:
        """The model that will answer."""
        return self.engine.model

    def start(self, job: Job) -> Stream:
        """Let a job run, with the adapter that the call asked for."""
        return self.engine.start(self.ticket, replace(job, adapter=self.adapter))

    def generate(self, job: GenerateJob) -> Stream:
        """Let a text be written."""
        return self.start(job)

    async def encoded(self, job: EncodeJob) -> Encoded:
        """Let a list run and wait for its vectors."""
        for event in await self.start(job).take():
            if isinstance(event, Encoded):
                return event
        raise AssertionError("an encode job ends with vectors or an error")


@contextlib.contextmanager
def seated(
    worker: Worker,
    tasks: Task | frozenset[Task],
    meta: common_pb2.RequestMeta,
    context: Context,
    call: str,
) -> Iterator[Seat]:
    """A place in the queue for as long as the block lasts; raises why there is none.

    `tasks` are those of which the model has to offer one; `call` is the call's name.
    """
    record = current.get()
    if record is not None:
        record.model = worker.settings.model_name
    remaining = context.time_remaining()
    if remaining is not None and remaining < LEAST_SECONDS:
        raise DeadlineExceeded("the deadline had passed before the request was taken in")
    sent = {key: value for key, value in context.invocation_metadata() or () if key[:2] == "x-"}
    adapter = _adapter(worker, meta, sent)
    engine = worker.engine()
    wanted = frozenset([tasks]) if isinstance(tasks, Task) else tasks
    if not wanted & engine.model.offers:
        service = GENERATION if call in ("Generate", "Chat") else TEXT
        raise refusal(engine.model, f"{service}/{call}", worker.settings.model_name)
    deadline = None if remaining is None else time.monotonic() + remaining
    wanted_pace = objectives(sent) if call in PACED else NO_OBJECTIVES
    ticket = engine.admit(caller(meta, sent), deadline, wanted_pace)
    if record is not None:
        record.seat(ticket, adapter)
    try:
        yield Seat(engine, ticket, adapter)
    finally:
        engine.leave(ticket)


def _adapter(worker: Worker, meta: common_pb2.RequestMeta, sent: dict[str, str | bytes]) -> str:
    """The adapter that a call asks for, by field, by `model:adapter` or by metadata."""
    served = worker.settings.model_name
    name, _, behind = meta.model.partition(":")
    if name and name != served:
        raise ModelNotFound(
            f"this server serves {served!r}, not {name!r}", metadata={"served": served}
        )
    adapter = meta.adapter or behind or str(sent.get(ADAPTER_KEY, ""))
    if adapter and adapter not in worker.adapters:
        known = ", ".join(sorted(worker.adapters)) or "none"
        raise AdapterNotFound(
            f"{served!r} has no adapter {adapter!r}; loaded: {known}", metadata={"adapters": known}
        )
    return adapter


def caller(meta: common_pb2.RequestMeta, sent: dict[str, str | bytes]) -> Caller:
    """Who asks, by field or by metadata; raises InvalidRequest."""
    tenant = meta.tenant or next((str(sent[key]) for key in TENANT_KEYS if key in sent), "")
    if len(tenant) > LONGEST_TENANT:
        text = f"must have at most {LONGEST_TENANT} characters"
        raise InvalidRequest([Violation("meta.tenant", text)])
    priority: int = meta.priority
    if not priority and PRIORITY_KEY in sent:
        text = str(sent[PRIORITY_KEY])
        if not text.lstrip("-").isdecimal():
            raise InvalidRequest([Violation(PRIORITY_KEY, "must be a whole number")])
        priority = int(text)
    if not LOWEST <= priority <= HIGHEST:
        text = f"must be between {LOWEST} and {HIGHEST}"
        raise InvalidRequest([Violation("meta.priority", text)])
    return Caller(tenant, priority)


def objectives(sent: dict[str, str | bytes]) -> Objectives:
    """How fast the caller wants the text, by metadata; raises InvalidRequest."""
    return Objectives(_seconds(sent, TTFT_KEY), _seconds(sent, TPOT_KEY))


def _seconds(sent: dict[str, str | bytes], key: str) -> float | None:
    if key not in sent:
        return None
    try:
        milliseconds = float(sent[key])
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise InvalidRequest([Violation(key, "must be a number of milliseconds above 0")])
    return milliseconds / 1000
