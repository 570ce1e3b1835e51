"""An engine in a thread of the same process: for backends that compute nothing, and for tests."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence

from lepton_worker.engine.link import Closed, Gone, Port, Receive
from lepton_worker.engine.messages import FromEngine, Stop, ToEngine

log = logging.getLogger(__name__)

Main = Callable[[Port], None]
"""What runs in the engine's thread or process, until it ends."""


class ThreadPort:
    """The engine's end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receive: Receive,
        inbox: "queue.SimpleQueue[ToEngine]",
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._inbox = inbox

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Hand messages to the event loop."""
        try:
            self._loop.call_soon_threadsafe(self._receive, messages)
        except RuntimeError:
            raise Closed("the event loop is closed") from None

    def take(self, wait: bool) -> list[ToEngine]:
        """Everything that lies there."""
        messages = [self._inbox.get()] if wait else []
        while True:
            try:
                messages.append(self._inbox.get_nowait())
            except queue.Empty:
                return messages


class ThreadLink:
    """The front's end."""

    def __init__(self, main: Main) -> None:
        self._main = main
        self._inbox: queue.SimpleQueue[ToEngine] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False

    def open(self, receive: Receive, gone: Gone) -> None:
        """Start the thread."""
        loop = asyncio.get_running_loop()
        self._inbox = queue.SimpleQueue()
        port = ThreadPort(loop, receive, self._inbox)

        def run() -> None:
            try:
                self._main(port)
            except Closed:
                return
            except Exception as error:
                log.exception("the engine failed")
                _tell(loop, gone, f"{type(error).__name__} in the engine")
            else:
                if not self._closing:
                    _tell(loop, gone, "the engine ended")

        # A daemon: a step that never ends must not keep the process from ending.
        self._thread = threading.Thread(target=run, name="engine", daemon=True)
        self._thread.start()

    def send(self, message: ToEngine) -> None:
        """Hand a message to the thread."""
        self._inbox.put(message)

    async def close(self, patience: float) -> None:
        """Tell it to stop and wait for the step that is running, so many seconds at most."""
        self._closing = True
        if self._thread is not None:
            self._inbox.put(Stop())
            await asyncio.to_thread(self._thread.join, patience)


def _tell(loop: asyncio.AbstractEventLoop, gone: Gone, how: str) -> None:
    try:
        loop.call_soon_threadsafe(gone, how)
    except RuntimeError:
        log.debug("the event loop ended before the engine: %s", how)
