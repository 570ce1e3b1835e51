"""The line between front and engine: what each end can do with it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from lepton_worker.engine.messages import FromEngine, ToEngine

Receive = Callable[[Sequence[FromEngine]], None]
"""Called on the event loop with what came, in order."""

Gone = Callable[[str], None]
"""Called once on the event loop when the engine has ended without being told to: how it ended."""


class Closed(Exception):
    """The other end is gone."""


class Port(Protocol):
    """The engine's end. Used by the engine's thread alone."""

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Hand messages over; raises Closed."""

    def take(self, wait: bool) -> Sequence[ToEngine]:
        """What came since the last call; with `wait` at least one message. Raises Closed."""


class Link(Protocol):
    """The front's end. Used on the event loop alone."""

    def open(self, receive: Receive, gone: Gone) -> None:
        """Start an engine; a second call, after the first engine is gone, starts a new one."""

    def send(self, message: ToEngine) -> None:
        """Hand a message over; lost when the engine is gone."""

    async def close(self, patience: float) -> None:
        """End the engine, after so many seconds without its consent."""
