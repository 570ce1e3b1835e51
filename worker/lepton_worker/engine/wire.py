"""Messages on a stream socket between two of our own processes: length, then pickle."""

import pickle
import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("<I")
PIECE = 1 << 20


def packed(message: object) -> bytes:
    """One message as bytes."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


class Unpacker:
    """Bytes as they come to messages as they become complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """Take bytes; yields every message that is complete now."""
        self._bytes += data
        start = 0
        while len(self._bytes) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(self._bytes, start)
            end = start + HEADER.size + length
            if len(self._bytes) < end:
                break
            # A copy, so that the buffer can shrink while the message is alive.
            yield pickle.loads(bytes(self._bytes[start + HEADER.size : end]))
            start = end
        del self._bytes[:start]


def received(sock: socket.socket) -> bytes | None:
    """What lies there now; b"" when the other end is closed, None when there is nothing."""
    try:
        return sock.recv(PIECE)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
