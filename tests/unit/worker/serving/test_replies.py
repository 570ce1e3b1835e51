"""Several replies read as one stream."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from lepton_worker.errors import OutOfMemory, RequestError
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
from lepton_worker.serving.replies import Incoming, merged
from lepton_worker.tasks.reply import Reply
from lepton_worker.tasks.tools import FORMATS, CallReader

NO_TIME = Timing(0, 0, 0, 0)
JOB = GenerateJob(Tokens((1,)), Sampling(9, stop=("!",)))


@dataclass
class Script:
    """A stream that a test feeds."""

    queue: "asyncio.Queue[list[Event] | RequestError]" = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    ending: str = ""

    async def take(self) -> list[Event]:
        news = await self.queue.get()
        if isinstance(news, RequestError):
            raise news
        return news

    def cancel(self) -> None:
        self.cancelled = True

    def timing(self, now: float) -> Timing:
        return NO_TIME

    def write(self, text: str, end: FinishReason | None = None) -> None:
        events: list[Event] = [Delta("", tuple(text.encode()))]
        if end is not None:
            events.append(Finish(end, 1, len(text), NO_TIME))
        self.queue.put_nowait(events)


def reply_of(script: Script, model: Model) -> Incoming:
    return Incoming(script, Reply(JOB, model))


async def test_replies_come_as_they_are_written(echo_model: Model) -> None:
    one, two = Script(), Script()
    async with contextlib.aclosing(merged([reply_of(s, echo_model) for s in (one, two)])) as news:
        two.write("b")
        assert await anext(news) == (1, Delta("b", (98,)), None)
        one.write("a", FinishReason.LENGTH)
        choice, delta, end = await anext(news)
        assert (choice, delta.text) == (0, "a")
        assert end is not None
        two.write("c!d")
        choice, delta, end = await anext(news)
        assert (choice, delta.text) == (1, "c")
        assert end is not None
        assert end.finish.reason is FinishReason.STOP
        # The engine would have gone on.
        assert two.cancelled
        with pytest.raises(StopAsyncIteration):
            await anext(news)


@pytest.mark.parametrize("count", [1, 3])
async def test_an_error_ends_all(echo_model: Model, count: int) -> None:
    scripts = [Script() for _ in range(count)]
    news = merged([reply_of(script, echo_model) for script in scripts])
    scripts[-1].queue.put_nowait(OutOfMemory("too little"))
    with pytest.raises(OutOfMemory):
        await anext(news)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


async def test_closing_leaves_nothing_behind(echo_model: Model) -> None:
    scripts = [Script(), Script()]
    news = merged([reply_of(script, echo_model) for script in scripts])
    scripts[0].write("a")
    await anext(news)
    await news.aclose()
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_whole_reply(echo_model: Model) -> None:
    script = Script()
    for text in ("a", "b"):
        script.write(text)
    script.write("c", FinishReason.LENGTH)
    text, end = await reply_of(script, echo_model).whole()
    assert (text, end.finish.reason) == ("abc", FinishReason.LENGTH)


async def test_how_a_reply_ended_is_told_to_those_who_count(echo_model: Model) -> None:
    """A call of a tool is one to the reader only: the engine sees a text that has stopped."""
    script = Script(ending="stop")
    reply = Reply(JOB, echo_model, CallReader(FORMATS[-1], ["clock"]), new_id=lambda: "1")
    script.write('{"name": "clock", "parameters": {}}', FinishReason.STOP)
    _, end = await Incoming(script, reply).whole()
    assert len(end.calls) == 1
    assert (script.ending, script.cancelled) == ("tool_calls", True)
