"""The metrics API on a port of this machine, over real TLS, and somebody who calls it."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from lepton_operator.metrics import api
from lepton_operator.metrics.certificates import Pair, issued
from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.listener import Listener
from lepton_operator.metrics.roster import ModelKey
from lepton_operator.metrics.telemetry import Telemetry
from lepton_operator.metrics.trust import Trust
from localcluster.pki import KeyPair, Pki

HOST = "lepton-metrics.lepton-system.svc"
DISCOVERY = "/apis/external.metrics.k8s.io/v1beta1"
VALUE = f"{DISCOVERY}/namespaces/team-a/lepton_queue_depth"
HPA = {"X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler"}


class Depths:
    """Two models, one of them unknown."""

    def unseen(self, namespace: str) -> str | None:
        """Nothing is hidden."""
        return None

    def models(self, namespace: str) -> list[str]:
        """Both."""
        return ["chat", "embed"]

    def depth(self, model: ModelKey) -> Depth | Unknown:
        """17, or unknown."""
        return Depth(17, age=0.5) if model.name == "chat" else Unknown("worker e-1 is silent")


@dataclass
class Certificates:
    """Two sets of authorities, as of two clusters."""

    ours: Pki
    foreign: Pki

    def rules(self, *names: str, authority: KeyPair | None = None) -> Trust:
        """Front-proxy rules; of our cluster unless said otherwise."""
        pem = (authority or self.ours.front_proxy_ca).cert.read_text()
        return Trust(pem, frozenset(names or ("front-proxy-client",)), ("X-Remote-User",))


@dataclass
class Answer:
    """What came back."""

    code: int
    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """The API on a port of this machine."""

    listener: Listener
    pair: Pair
    registry: CollectorRegistry

    def context(self, client: KeyPair | None, authorities: bytes = b"") -> ssl.SSLContext:
        """What a caller brings along."""
        made = ssl.create_default_context(cadata=(authorities or self.pair.authorities).decode())
        if client is not None:
            made.load_cert_chain(client.cert, client.key)
        return made

    @asynccontextmanager
    async def caller(self, client: KeyPair | None) -> AsyncIterator["Caller"]:
        """Somebody who keeps the connection."""
        async with aiohttp.ClientSession() as session:
            yield Caller(session, self.context(client), self.listener.port)

    async def get(
        self,
        path: str,
        client: KeyPair | None = None,
        headers: dict[str, str] | None = None,
        method: str = "GET",
    ) -> Answer:
        """One request on a connection of its own."""
        async with self.caller(client) as caller:
            return await caller.ask(path, HPA if headers is None else headers, method)


@dataclass
class Caller:
    """Calls as kube-apiserver does: by address, for the name of the Service."""

    session: aiohttp.ClientSession
    context: ssl.SSLContext
    port: int

    async def ask(self, path: str, headers: dict[str, str] = HPA, method: str = "GET") -> Answer:
        """One request; the connection is kept."""
        async with self.session.request(
            method,
            f"https://127.0.0.1:{self.port}{path}",
            headers=headers,
            ssl=self.context,
            server_hostname=HOST,
        ) as response:
            body = await response.read()
            return Answer(response.status, json.loads(body) if body else {}, dict(response.headers))


@asynccontextmanager
async def a_server() -> AsyncIterator[Server]:
    """The API before it knows its certificate and rules."""
    registry = CollectorRegistry()
    app = api.application(
        Depths(),
        lambda context: listener.trusted(context),
        lambda: datetime.now(UTC),
        Telemetry(registry),
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    listener = Listener(runner, 0)
    try:
        yield Server(listener, issued([HOST], datetime.now(UTC)), registry)
    finally:
        await listener.close()
        await runner.cleanup()
