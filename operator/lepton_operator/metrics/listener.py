"""The TLS port, whose certificate and trusted authorities change while it is open."""

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp import web

from lepton_operator.metrics.certificates import Pair
from lepton_operator.metrics.trust import Trust

GRACE = 0.5
"""Seconds until a connection is closed, with a request in hand or idle. Plenty for answers
from memory."""


class Listener:
    """One port for as long as the process runs; each change opens it anew on the same socket.

    A fresh TLS context for each change, rather than a changed one: no session of the old one can be
    resumed, so nobody gets in who was let in by rules that are outdated.
    """

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self._socket = _bound(port)
        self._site: web.SockSite | None = None
        self._context: ssl.SSLContext | None = None
        self._trusts: dict[ssl.SSLContext, Trust | None] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        found: int = self._socket.getsockname()[1]
        return found

    def trusted(self, context: ssl.SSLContext) -> Trust | None:
        """Rules by which connections of a context were checked; None once these are outdated."""
        return self._trusts.get(context)

    async def use(self, pair: Pair, trust: Trust | None) -> None:
        """Serve with this certificate and these rules from now on. Raises ValueError when the
        certificate, key or authorities cannot be used; then all stays as it was.
        """
        context = _context(pair, trust)
        outdated = self._trusts and trust not in self._trusts.values()
        connections = list(self._runner.server.connections) if self._runner.server else []
        self._trusts = {} if outdated else self._trusts
        self._trusts[context] = trust
        site = web.SockSite(self._runner, self._socket.dup(), ssl_context=context)
        await site.start()
        if self._site is not None:
            await self._site.stop()
        self._site = site
        if outdated:
            for connection in connections:
                task = asyncio.create_task(connection.shutdown(GRACE))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Take no more connections, finish what is in hand."""
        if self._site is not None:
            await self._site.stop()
        self._socket.close()
        await asyncio.gather(*self._closing, return_exceptions=True)


def _context(pair: Pair, trust: Trust | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Optional, so that a caller without a certificate is told what is missing.
    context.verify_mode = ssl.CERT_OPTIONAL
    # Every certificate in the ConfigMap is an anchor, intermediate ones too; as for Go's callers.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if trust is not None:
            context.load_verify_locations(cadata=trust.authorities)
        with _file(pair.certificate + b"\n" + pair.key) as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        raise ValueError(f"certificate, key or authority cannot be used: {error}") from error
    return context


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """A file, as OpenSSL wants it; in memory alone where the system can, so that no disk has it."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("lepton"), "wb", buffering=0) as file:
            file.write(content)
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as kept:
        kept.write(content)
        kept.flush()
        yield kept.name


def _bound(port: int) -> socket.socket:
    with suppress(OSError):
        return _unheard(socket.AF_INET6, "::", port)
    return _unheard(socket.AF_INET, "0.0.0.0", port)


def _unheard(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A bound socket that does not listen before there is a certificate."""
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
