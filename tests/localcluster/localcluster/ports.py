"""Which ports a cluster uses: a block derived from its name, moved on where something listens."""

import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields

from localcluster.errors import Refused

FIRST = 20000
# Node ports begin at 30000 and ephemeral ports above them: blocks stay below both.
END = 30000
BLOCK = 16


@dataclass(frozen=True)
class Ports:
    """One port for each thing that listens."""

    apiserver: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    kubelet: int
    kubelet_health: int
    proxy_health: int
    proxy_metrics: int
    dns: int
    dns_ready: int
    registry: int
    streaming: int
    simulation: int


def allocate(name: str, is_free: Callable[[int], bool]) -> Ports:
    """Return the first block, beginning at the name's own, of which every port is free."""
    names = [field.name for field in fields(Ports)]
    blocks = (END - FIRST) // BLOCK
    own = zlib.crc32(name.encode()) % blocks
    for offset in range(blocks):
        base = FIRST + (own + offset) % blocks * BLOCK
        ports = range(base, base + len(names))
        if all(map(is_free, ports)):
            return Ports(**dict(zip(names, ports, strict=True)))
    raise Refused(f"no {BLOCK} ports in a row are free between {FIRST} and {END}: stop something")


def is_free(port: int) -> bool:
    """Whether nothing on this machine listens on a port, on any address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True
