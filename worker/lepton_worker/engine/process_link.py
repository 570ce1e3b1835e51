"""The front's end of a line to an engine in a process of its own, forked from the zygote."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from typing import cast

from lepton_worker.engine.link import Gone, Receive
from lepton_worker.engine.messages import FromEngine, Stop, ToEngine
from lepton_worker.engine.wire import Unpacker, packed, received
from lepton_worker.engine.zygote import SPAWN

log = logging.getLogger(__name__)

WORD_SECONDS = 1.0
"""How long the zygote's word of an engine's end may take."""


class ProcessLink:
    """Holds the zygote, and one engine at a time."""

    def __init__(self, zygote: int, control: socket.socket) -> None:
        self._zygote = zygote
        self._control = control
        self._control.setblocking(False)
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._ended = asyncio.Event()
        self._closing = False

    def open(self, receive: Receive, gone: Gone) -> None:
        """Let the zygote fork an engine."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        socket.send_fds(self._control, [SPAWN], [theirs.fileno()])
        theirs.close()
        self._socket, self._unsent, self._ended = ours, bytearray(), asyncio.Event()
        unpacker = Unpacker()

        def readable() -> None:
            data = received(ours)
            if data is None:
                return
            if data == b"":
                self._drop()
                if not self._closing:
                    asyncio.get_running_loop().create_task(self._tell(gone))
                return
            for messages in unpacker.feed(data):
                receive(cast(Sequence[FromEngine], messages))

        asyncio.get_running_loop().add_reader(ours, readable)

    def _drop(self) -> None:
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None
        self._ended.set()

    async def _tell(self, gone: Gone) -> None:
        loop = asyncio.get_running_loop()
        how = "it ended without a word"
        with contextlib.suppress(TimeoutError, OSError):
            said = await asyncio.wait_for(loop.sock_recv(self._control, 4096), WORD_SECONDS)
            how = said.decode().strip().splitlines()[-1] if said else how
        gone(how)

    def send(self, message: ToEngine) -> None:
        """Hand a message over; what the socket does not take at once follows."""
        if self._socket is None:
            return
        self._unsent += packed(message)
        self._flush()

    def _flush(self) -> None:
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            return  # its end is read from the other direction
        if self._unsent:
            loop.add_writer(self._socket, self._flush)
        else:
            loop.remove_writer(self._socket)

    async def close(self, patience: float) -> None:
        """Tell the engine to stop, wait for so many seconds, then end it and the zygote."""
        self._closing = True
        if self._socket is not None:
            self.send(Stop())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), patience)
        self._drop()
        self._control.close()
        # The engine, should it still be there, ends with its parent.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._zygote, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, self._zygote, 0)
