"""What is kept of a call, and how log and trace tell it."""

from dataclasses import replace

import pytest

from lepton_worker.engine.streams import Stream, Ticket
from lepton_worker.request import Caller, EncodeJob, GenerateJob, Job, Sampling, Task, Tokens
from lepton_worker.scheduler.admission import Admission, Bounds
from lepton_worker.serving.records import MOST_TICKETS, Record, attributes, facts, phases, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROMPT = Tokens((1, 2, 3))
TEXT = GenerateJob(PROMPT, Sampling(max_new_tokens=7, temperature=0.5))
LIST = EncodeJob(Task.EMBED, (Tokens((1, 2)), Tokens((3,))))


def a_stream(ticket: Ticket, job: Job, **known: object) -> Stream:
    permit = Admission(Bounds(8, 0, 1)).admit(1, 1, None, 0.0, Caller())
    stream = Stream(1, job, ticket, 0, permit, lambda stream: None)
    for name, value in known.items():
        setattr(stream, name, value)
    ticket.streams.append(stream)
    return stream


def a_record(*tickets: Ticket) -> Record:
    record = Record("/lepton.v1.Generation/Generate", "id", 10.0, TRACE, "m")
    for ticket in tickets:
        record.seat(ticket, "")
    return record


def a_ticket() -> Ticket:
    return Ticket(10.5, None, Caller())


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes", TRACE),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-b7ad6b7169203331", ""),
        ("", ""),
        ("x" * 10_000, ""),
    ],
)
def test_a_trace_is_taken_from_a_header_that_has_one(header: str, trace: str) -> None:
    assert trace_of({"traceparent": header}) == trace


async def test_a_whole_text_is_told_with_all_that_is_known() -> None:
    ticket = a_ticket()
    known = {"taken_at": 11.0, "first_at": 12.0, "tokens": 4, "cached_tokens": 2, "ending": "stop"}
    for _ in range(2):
        a_stream(ticket, TEXT, batch_size=3, **known)
    assert facts(a_record(ticket), "OK", "", 15.0) == {
        "trace_id": TRACE,
        "method": "/lepton.v1.Generation/Generate",
        "model": "m",
        "code": "OK",
        "duration_seconds": 5.0,
        "queue_seconds": 0.5,
        "first_token_seconds": 1.5,
        "batch_size": 3,
        "prompt_tokens": 3,  # the same prompt, answered twice
        "output_tokens": 8,
        "cached_tokens": 4,
        "finish_reasons": ["stop", "stop"],
    }


async def test_a_refused_call_is_told_with_its_reason_alone() -> None:
    record = replace(a_record(), trace_id="", model="")
    assert facts(record, "RESOURCE_EXHAUSTED", "QUEUE_FULL", 11.0) == {
        "method": "/lepton.v1.Generation/Generate",
        "code": "RESOURCE_EXHAUSTED",
        "reason": "QUEUE_FULL",
        "duration_seconds": 1.0,
    }


async def test_lists_have_inputs_and_no_texts() -> None:
    ticket = a_ticket()
    a_stream(ticket, LIST, taken_at=11.0, first_at=12.0)
    record = replace(a_record(ticket), method="/lepton.v1.Text/Embed")
    assert facts(record, "OK", "", 13.0)["prompt_tokens"] == 3
    assert "finish_reasons" not in facts(record, "OK", "", 13.0)
    told = attributes(record, "OK", "")
    assert told["gen_ai.operation.name"] == "embeddings"
    assert "gen_ai.request.max_tokens" not in told


async def test_attributes_follow_the_conventions() -> None:
    ticket = a_ticket()
    a_stream(ticket, TEXT, tokens=4, ending="abort")
    told = attributes(a_record(ticket), "CANCELLED", "CANCELLED")
    assert told["error.type"] == "CANCELLED"
    assert told["rpc.method"] == "lepton.v1.Generation/Generate"
    assert told["gen_ai.request.temperature"] == 0.5
    assert told["gen_ai.usage.output_tokens"] == 4
    assert told["gen_ai.response.finish_reasons"] == ["abort"]
    assert "lepton.adapter" not in told


@pytest.mark.parametrize(
    ("job", "known", "parts"),
    [
        (TEXT, {}, {"tokenise": (10.5, 11), "queue": (11, 20)}),
        (
            TEXT,
            {"taken_at": 12.0},
            {"tokenise": (10.5, 11), "queue": (11, 12), "prefill": (12, 20)},
        ),
        (
            TEXT,
            {"taken_at": 12.0, "first_at": 13.0, "ended_at": 15.0},
            {"tokenise": (10.5, 11), "queue": (11, 12), "prefill": (12, 13), "decode": (13, 15)},
        ),
        (
            LIST,
            {"taken_at": 12.0, "first_at": 13.0, "ended_at": 13.0},
            {"tokenise": (10.5, 11), "queue": (11, 12), "encode": (12, 13)},
        ),
    ],
)
async def test_the_parts_of_a_call_follow_one_another(
    job: Job, known: dict[str, float], parts: dict[str, tuple[float, float]]
) -> None:
    stream = a_stream(a_ticket(), job, sent_at=11.0, **known)
    assert {part.name: (part.begin, part.end) for part in phases(stream, 20.0)} == parts


async def test_a_long_stream_of_requests_is_not_kept_whole() -> None:
    record = a_record(*(a_ticket() for _ in range(3 * MOST_TICKETS)))
    assert len(record.tickets) == MOST_TICKETS
