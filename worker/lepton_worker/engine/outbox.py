"""The answers of one request on their way from the engine to its caller."""

import asyncio

from lepton_worker.errors import RequestError
from lepton_worker.request import Event


class Outbox:
    """Unbounded: a caller that reads slowly holds at most what its own limits allow it to ask."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._error: RequestError | None = None
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        self._news.set()

    def fail(self, error: RequestError) -> None:
        """End with an error, behind the events that came before it. The first error counts."""
        self._error = self._error or error
        self._news.set()

    async def take(self) -> list[Event]:
        """All events that have come, waiting for the first; raises the error behind the last."""
        await self._news.wait()
        events, self._events = self._events, []
        if not events and self._error is not None:
            raise self._error
        if self._error is None:
            self._news.clear()
        return events
