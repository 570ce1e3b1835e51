"""The engine's end of a line between two processes."""

import select
import socket
from collections.abc import Sequence
from typing import cast

from lepton_worker.engine.link import Closed
from lepton_worker.engine.messages import FromEngine, ToEngine
from lepton_worker.engine.wire import Unpacker, packed, received


class ProcessPort:
    """Blocking to send, and to take when asked to wait."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(False)
        self._unpacker = Unpacker()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, messages: Sequence[FromEngine]) -> None:
        """Hand messages over, all in one frame."""
        data = memoryview(packed(messages))
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                select.select([], [self._socket], [])
            except OSError as error:
                raise Closed(str(error)) from None

    def take(self, wait: bool) -> list[ToEngine]:
        """Everything that has come; with `wait` at least one message."""
        messages: list[ToEngine] = []
        while True:
            data = received(self._socket)
            if data:
                messages += cast(list[ToEngine], list(self._unpacker.feed(data)))
            elif data == b"":
                raise Closed("the front is gone")
            elif messages or not wait:
                return messages
            else:
                self._poll.poll()
