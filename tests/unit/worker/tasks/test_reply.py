"""Replies as they grow: stop strings, calls, the end, whatever the engine sends at a time."""

from collections.abc import Iterator, Sequence

import pytest

from lepton_worker.model import Model
from lepton_worker.request import (
    Delta,
    Event,
    Finish,
    FinishReason,
    GenerateJob,
    Sampling,
    Timing,
    Tokens,
)
from lepton_worker.tasks.chat import Tool, ToolCall
from lepton_worker.tasks.reply import Ending, Reply, markers_of
from lepton_worker.tasks.tools import FORMATS, CallReader

END = 256
TAGS = FORMATS[1]
NOW = Timing(1, 2, 3, 4)
LATER = Timing(5, 6, 7, 8)
CALL = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'


def job_of(*stop: str) -> GenerateJob:
    return GenerateJob(Tokens((1, 2)), Sampling(99, stop=stop, ends=frozenset([END])))


def finish(reason: FinishReason, count: int) -> Finish:
    return Finish(reason, 2, count, LATER, cached_tokens=1)


def run(reply: Reply, events: Sequence[Event]) -> tuple[str, tuple[int, ...], Ending | None]:
    """Text and tokens of all deltas, and the end; each event by itself."""
    text = ""
    ids: tuple[int, ...] = ()
    for event in events:
        delta, end = reply.take([event], lambda: NOW)
        text, ids = text + delta.text, ids + delta.ids
        if end is not None:
            return text, ids, end
    return text, ids, None


def tokens(text: str) -> list[Event]:
    return [Delta("", (byte,)) for byte in text.encode()]


def test_tokens_become_text_and_the_engines_end_is_passed_on(echo_model: Model) -> None:
    events = [*tokens("hé"), Delta("", (END,)), finish(FinishReason.STOP, 4)]
    ending = Ending(finish(FinishReason.STOP, 4))
    ids = (*"hé".encode(), END)
    assert run(Reply(job_of(), echo_model), events) == ("hé", ids, ending)
    whole = Reply(job_of(), echo_model).take(events, lambda: NOW)
    assert whole == (Delta("hé", ids), ending)


def test_a_stop_string_ends_the_reply_before_the_engine_does(echo_model: Model) -> None:
    text, ids, end = run(Reply(job_of("lo"), echo_model), tokens("hello world"))
    assert (text, ids) == ("hel", tuple(b"hello"))
    assert end == Ending(Finish(FinishReason.STOP, 2, 5, NOW))


def test_what_was_held_back_comes_with_the_end(echo_model: Model) -> None:
    events = [*tokens("hel"), finish(FinishReason.LENGTH, 3)]
    text, _, end = run(Reply(job_of("lo"), echo_model), events)
    assert (text, end) == ("hel", Ending(finish(FinishReason.LENGTH, 3)))


def test_a_stop_string_may_be_complete_only_with_the_end(echo_model: Model) -> None:
    events: list[Event] = [Delta("", (0xC3,)), finish(FinishReason.LENGTH, 1)]
    text, _, end = run(Reply(job_of("\ufffd"), echo_model), events)
    assert (text, end) == ("", Ending(finish(FinishReason.STOP, 1)))


@pytest.fixture
def ids() -> Iterator[str]:
    return iter(["id-1", "id-2"])


def reply_with_tools(model: Model, ids: Iterator[str], *stop: str) -> Reply:
    return Reply(job_of(*stop), model, CallReader(TAGS, ["clock"]), new_id=lambda: next(ids))


def test_calls_are_named_and_change_the_reason(echo_model: Model, ids: Iterator[str]) -> None:
    events = [*tokens(f"So: {CALL}\n{CALL}"), finish(FinishReason.STOP, 9)]
    text, _, end = run(reply_with_tools(echo_model, ids), events)
    calls = (ToolCall("id-1", "clock", "{}"), ToolCall("id-2", "clock", "{}"))
    assert (text, end) == ("So: ", Ending(finish(FinishReason.TOOL_CALLS, 9), calls))


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.DRAINED])
def test_a_reply_that_was_cut_off_calls_nothing(
    echo_model: Model, ids: Iterator[str], reason: FinishReason
) -> None:
    events = [*tokens(CALL), finish(reason, 9)]
    text, _, end = run(reply_with_tools(echo_model, ids), events)
    assert (text, end) == (CALL, Ending(finish(reason, 9)))


def test_what_is_no_call_is_text(echo_model: Model, ids: Iterator[str]) -> None:
    events = [*tokens("<tool_call>clock()</tool_call>"), finish(FinishReason.STOP, 9)]
    text, _, end = run(reply_with_tools(echo_model, ids), events)
    assert (text, end) == (
        "<tool_call>clock()</tool_call>",
        Ending(finish(FinishReason.STOP, 9)),
    )


def test_a_stop_string_may_follow_a_call(echo_model: Model, ids: Iterator[str]) -> None:
    text, _, end = run(reply_with_tools(echo_model, ids, "###"), tokens(f"{CALL}###"))
    call = ToolCall("id-1", "clock", "{}")
    stopped = Finish(FinishReason.TOOL_CALLS, 2, len(CALL) + 3, NOW)
    assert (text, end) == ("", Ending(stopped, (call,)))


def test_arguments_that_do_not_fit_are_told(echo_model: Model, ids: Iterator[str]) -> None:
    reader = CallReader(TAGS, ["clock"])
    tool = Tool("clock", parameters={"required": ["zone"]})
    reply = Reply(job_of(), echo_model, reader, new_id=lambda: next(ids), tools=[tool])
    _, _, end = run(reply, [*tokens(CALL), finish(FinishReason.STOP, 9)])
    call = ToolCall("id-1", "clock", "{}", "arguments: must have 'zone'")
    assert end == Ending(finish(FinishReason.TOOL_CALLS, 9), (call,))


def test_the_only_call_ends_the_reply(echo_model: Model, ids: Iterator[str]) -> None:
    reader = CallReader(TAGS, ["clock"], single=True)
    reply = Reply(job_of(), echo_model, reader, new_id=lambda: next(ids))
    text, _, end = run(reply, tokens(f"So: {CALL}\n{CALL} Bye."))
    assert text == "So: "
    assert end is not None
    assert (end.calls, end.finish.reason) == (
        (ToolCall("id-1", "clock", "{}"),),
        FinishReason.TOOL_CALLS,
    )
    assert end.finish.output_tokens < len(f"So: {CALL}")
    whole = Reply(job_of(), echo_model, CallReader(TAGS, ["clock"], single=True))
    delta, end = whole.take([Delta("", tuple(f"{CALL}\n{CALL} Bye.".encode()))], lambda: NOW)
    assert end is not None
    assert (delta.text, len(end.calls)) == ("", 1)


def test_only_special_tokens_have_to_be_written_out(echo_model: Model) -> None:
    assert markers_of(echo_model, TAGS) == {}
