"""Replies on their way: what the engine sends is read, and the replies of a call are joined."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lepton_worker.request import Delta, Event, Timing
from lepton_worker.tasks.reply import Ending, Reply


class Stream(Protocol):
    """One job in the engine, as `Seat.generate` returns it; `ending` is why it is over."""

    ending: str

    async def take(self) -> list[Event]:
        """What has come, waiting for the first of it; raises the RequestError that ended it."""

    def cancel(self) -> None:
        """The caller wants no more of it. Twice is once."""

    def timing(self, now: float) -> Timing:
        """Where the time went, as of now."""


News: TypeAlias = tuple[int, Delta, Ending | None]
"""Which reply, its new tokens, and its end if it has come."""


@dataclass
class Incoming:
    """One reply as it is read.

    After each news it rests for `pause` seconds, so that what comes meanwhile is read at once.
    """

    stream: Stream
    reply: Reply
    pause: float = 0.0
    begun: bool = False

    async def next(self) -> tuple[Delta, Ending | None]:
        """What is new; the last one has the end. Raises the RequestError that ended the reply."""
        if self.begun and self.pause:
            await asyncio.sleep(self.pause)
        self.begun = True
        events = await self.stream.take()
        delta, end = self.reply.take(events, lambda: self.stream.timing(time.monotonic()))
        if end is not None:
            # A stop string or a call ends the text here, of which the engine knows nothing.
            self.stream.ending = end.finish.reason.value
            self.stream.cancel()
        return delta, end

    async def whole(self) -> tuple[str, Ending]:
        """The text and its end, once both are there."""
        text = ""
        while True:
            delta, end = await self.next()
            text += delta.text
            if end is not None:
                return text, end


async def merged(replies: Sequence[Incoming]) -> AsyncGenerator[News, None]:
    """What comes of each reply, as it comes, until all have ended. Raises the first error."""
    if len(replies) == 1:
        # Without a task of its own: most calls want one reply.
        end = None
        while end is None:
            delta, end = await replies[0].next()
            yield 0, delta, end
        return
    waiting = {asyncio.ensure_future(reply.next()): at for at, reply in enumerate(replies)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: waiting[task]):
                delta, end = task.result()
                at = waiting.pop(task)
                if end is None:
                    waiting[asyncio.ensure_future(replies[at].next())] = at
                yield at, delta, end
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
