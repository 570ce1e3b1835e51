"""What is known of a call while it runs and when it is over: for its log line and its trace.

Never what it says: lengths, times and endings only.
"""

import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

from lepton_worker.engine.streams import Stream, Ticket
from lepton_worker.request import EncodeJob, GenerateJob

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""W3C Trace Context, header `traceparent`: version, trace, parent span, flags."""

MOST_TICKETS = 16
"""Kept of a call: a stream of requests has one for each, without a bound."""

OPERATIONS = {"Generate": "text_completion", "Chat": "chat", "Embed": "embeddings"}
"""By the GenAI conventions; calls that those do not know keep their own name."""

Value: TypeAlias = str | int | float | list[str]


@dataclass
class Record:
    """One call. Times are monotonic seconds."""

    method: str
    request_id: str
    begun: float
    trace_id: str = ""
    model: str = ""
    adapter: str = ""
    tickets: list[Ticket] = field(default_factory=list)

    def seat(self, ticket: Ticket, adapter: str) -> None:
        """The call, or one request of its stream, was admitted."""
        self.adapter = adapter
        if len(self.tickets) < MOST_TICKETS:
            self.tickets.append(ticket)

    @property
    def streams(self) -> list[Stream]:
        """Every job of the call."""
        return [stream for ticket in self.tickets for stream in ticket.streams]


current: ContextVar[Record | None] = ContextVar("record", default=None)
"""Of the call that the current task answers."""


def trace_of(metadata: Mapping[str, object]) -> str:
    """The trace that a caller says its call belongs to, if it says so."""
    match = TRACEPARENT.fullmatch(str(metadata.get("traceparent", "")))
    return "" if match is None or set(match["trace"]) == {"0"} else match["trace"]


def facts(record: Record, code: str, reason: str, ended: float) -> dict[str, Value]:
    """What the log tells of a call that is over: what is not known is left out."""
    found: dict[str, Value] = {
        "trace_id": record.trace_id,
        "method": record.method,
        "model": record.model,
        "adapter": record.adapter,
        "code": code,
        "reason": reason,
    }
    found = {name: value for name, value in found.items() if value}
    found["duration_seconds"] = round(ended - record.begun, 6)
    return {**found, **_times(record), **_counts(record)}


def _times(record: Record) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if not record.tickets:
        return found
    since = min(ticket.admitted_at for ticket in record.tickets)
    taken = [item.taken_at for item in record.streams if item.taken_at is not None]
    first = [item.first_at for item in record.streams if item.first_at is not None]
    if taken:
        found["queue_seconds"] = round(min(taken) - since, 6)
        found["batch_size"] = max(item.batch_size for item in record.streams)
    if first:
        found["first_token_seconds"] = round(min(first) - since, 6)
    return found


def _counts(record: Record) -> dict[str, Value]:
    streams = record.streams
    if not streams:
        return {}
    texts = [item for item in streams if isinstance(item.job, GenerateJob)]
    found: dict[str, Value] = {"prompt_tokens": prompt_tokens(record)}
    if texts:
        found["output_tokens"] = sum(item.tokens for item in texts)
        found["cached_tokens"] = sum(item.cached_tokens for item in texts)
        found["finish_reasons"] = [item.ending for item in texts]
    return found


def prompt_tokens(record: Record) -> int:
    """Tokens that the caller sent; answers to the same prompt count it once."""
    total = 0
    for ticket in record.tickets:
        prompts: set[int] = set()
        for stream in ticket.streams:
            job = stream.job
            if isinstance(job, EncodeJob):
                total += sum(map(len, job.inputs))
            elif id(job.prompt) not in prompts:
                prompts.add(id(job.prompt))
                total += len(job.prompt)
    return total


def attributes(record: Record, code: str, reason: str) -> dict[str, Value]:
    """A call's attributes by the semantic conventions of OpenTelemetry for GenAI and RPC."""
    call = record.method.rpartition("/")[2]
    found: dict[str, Value] = {
        "rpc.system.name": "grpc",
        "rpc.method": record.method.removeprefix("/"),
        "rpc.response.status_code": code,
        "gen_ai.operation.name": OPERATIONS.get(call, call.lower()),
        "gen_ai.provider.name": "lepton",
        "gen_ai.request.model": record.model,
        "lepton.request_id": record.request_id,
        "lepton.adapter": record.adapter,
        "error.type": reason,
    }
    found = {name: value for name, value in found.items() if value}
    counts = _counts(record)
    for name, ours in (
        ("gen_ai.usage.input_tokens", "prompt_tokens"),
        ("gen_ai.usage.output_tokens", "output_tokens"),
        ("gen_ai.usage.cache_read.input_tokens", "cached_tokens"),
        ("gen_ai.response.finish_reasons", "finish_reasons"),
    ):
        if ours in counts:
            found[name] = counts[ours]
    texts = [item.job for item in record.streams if isinstance(item.job, GenerateJob)]
    if texts:
        sampling = texts[0].sampling
        found["gen_ai.request.max_tokens"] = sampling.max_new_tokens
        found["gen_ai.request.temperature"] = sampling.temperature
        found["gen_ai.request.top_p"] = sampling.top_p
    return found


@dataclass(frozen=True)
class Phase:
    """A part of a call: monotonic seconds, and what it was about."""

    name: str
    begin: float
    end: float
    attributes: dict[str, Value] = field(default_factory=dict)


def phases(stream: Stream, ended: float) -> Iterator[Phase]:
    """Where the time of a job went; `ended` is when its call was over.

    `tokenise` is all that is done to the input between admission and the engine.
    """
    over = ended if stream.ended_at is None else min(ended, stream.ended_at)
    yield Phase("tokenise", stream.ticket.admitted_at, stream.sent_at)
    taken = stream.taken_at
    yield Phase("queue", stream.sent_at, over if taken is None else taken)
    if taken is None:
        return
    first = over if stream.first_at is None else stream.first_at
    size: dict[str, Value] = {"lepton.batch_size": stream.batch_size}
    if isinstance(stream.job, EncodeJob):
        yield Phase("encode", taken, first, size)
        return
    cached: dict[str, Value] = {"lepton.cached_tokens": stream.cached_tokens}
    yield Phase("prefill", taken, first, {**size, **cached})
    if stream.first_at is not None:
        yield Phase("decode", first, over, {"lepton.output_tokens": stream.tokens})
