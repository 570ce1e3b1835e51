"""Who is let in: the API over real TLS with certificates of both authorities."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from lepton_operator.metrics import api
from lepton_operator.metrics.certificates import Pair, issued
from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.listener import Listener
from lepton_operator.metrics.roster import ModelKey
from lepton_operator.metrics.telemetry import Telemetry
from lepton_operator.metrics.trust import Trust
from localcluster import pki
from localcluster.pki import KeyPair, Pki

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]

HOST = "lepton-metrics.lepton-system.svc"
VALUE = "/apis/external.metrics.k8s.io/v1beta1/namespaces/team-a/lepton_queue_depth"
DISCOVERY = "/apis/external.metrics.k8s.io/v1beta1"
HPA = {"X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler"}


class Depths:
    """Two models, one of them unknown."""

    def unseen(self, namespace: str) -> str | None:
        return None

    def models(self, namespace: str) -> list[str]:
        return ["chat", "embed"]

    def depth(self, model: ModelKey) -> Depth | Unknown:
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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    def made(name: str) -> Pki:
        root: Path = tmp_path_factory.mktemp(name)
        return pki.create(root, "node", "192.0.2.1", "192.0.2.2")

    return Certificates(made("ours"), made("foreign"))


@pytest.fixture
async def server(certificates: Certificates) -> AsyncIterator[Server]:
    async with a_server() as made:
        await made.listener.use(made.pair, certificates.rules())
        yield made


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


async def test_the_front_proxy_gets_the_value(server: Server, certificates: Certificates) -> None:
    client = certificates.ours.front_proxy_client
    found = await server.get(f"{VALUE}?labelSelector=model%3Dchat", client)
    assert found.code == 200
    assert found.document["items"][0]["value"] == "17"
    assert found.headers["Content-Type"].startswith("application/json")


async def test_without_a_certificate_nobody_is_let_in(server: Server) -> None:
    for path in (VALUE, DISCOVERY, "/openapi/v2", "/nowhere"):
        found = await server.get(path, headers={**HPA, "X-Remote-Group": "system:masters"})
        assert found.code == 401
        assert found.document["kind"] == "Status"
        assert "client certificate" in found.document["message"]


async def test_a_foreign_authority_with_the_same_name_is_refused_by_tls(
    server: Server, certificates: Certificates
) -> None:
    with pytest.raises((aiohttp.ClientError, ssl.SSLError), match=r"(?i)alert|closed|reset|discon"):
        await server.get(VALUE, certificates.foreign.front_proxy_client)


async def test_the_clusters_administrator_is_refused_by_tls(
    server: Server, certificates: Certificates
) -> None:
    with pytest.raises((aiohttp.ClientError, ssl.SSLError), match=r"(?i)alert|closed|reset|discon"):
        await server.get(VALUE, certificates.ours.admin)


async def test_a_name_outside_the_allowed_ones_is_refused(
    server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    target = KeyPair(tmp_path / "other.crt", tmp_path / "other.key")
    other = pki.issue(certificates.ours.front_proxy_ca, target, "somebody-else")
    found = await server.get(VALUE, other)
    assert found.code == 401
    assert "'somebody-else' is not one of" in found.document["message"]


async def test_a_front_proxy_that_names_no_user_is_refused(
    server: Server, certificates: Certificates
) -> None:
    found = await server.get(VALUE, certificates.ours.front_proxy_client, headers={})
    assert found.code == 401


async def test_before_the_rules_are_known_nobody_is_let_in(certificates: Certificates) -> None:
    async with a_server() as made:
        await made.listener.use(made.pair, None)
        assert (await made.get(VALUE)).code == 401
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await made.get(VALUE, certificates.ours.front_proxy_client)


async def test_before_there_is_a_certificate_the_port_is_closed() -> None:
    async with a_server() as made:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", made.listener.port)) != 0


async def test_the_front_proxys_authority_changes_without_a_restart(
    server: Server, certificates: Certificates
) -> None:
    old, new = certificates.ours.front_proxy_client, certificates.foreign.front_proxy_client
    async with server.caller(old) as caller:
        assert (await caller.ask(DISCOVERY)).code == 200
        rules = certificates.rules(authority=certificates.foreign.front_proxy_ca)
        await server.listener.use(server.pair, rules)
        assert (await server.get(DISCOVERY, new)).code == 200
        # Not on the connection that is open already, and not on a resumed session either.
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await caller.ask(DISCOVERY)
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        await server.get(DISCOVERY, old)


async def test_both_authorities_count_while_the_rules_name_both(
    server: Server, certificates: Certificates
) -> None:
    both = certificates.rules()
    foreign = certificates.foreign.front_proxy_ca.cert.read_text()
    await server.listener.use(
        server.pair, Trust(both.authorities + foreign, both.names, both.user_headers)
    )
    for authority in (certificates.ours, certificates.foreign):
        assert (await server.get(DISCOVERY, authority.front_proxy_client)).code == 200


async def test_a_name_that_is_not_allowed_any_more_is_refused_on_the_open_connection_too(
    server: Server, certificates: Certificates
) -> None:
    async with server.caller(certificates.ours.front_proxy_client) as caller:
        assert (await caller.ask(DISCOVERY)).code == 200
        await server.listener.use(server.pair, certificates.rules("another-name"))
        assert (await caller.ask(DISCOVERY)).code == 401


async def test_a_connection_that_was_taken_before_the_change_is_refused_after_it(
    server: Server, certificates: Certificates
) -> None:
    old = certificates.ours.front_proxy_client
    reader, writer = await asyncio.open_connection("127.0.0.1", server.listener.port)
    try:
        # Connections are taken in order: once this one has an answer, ours was taken too.
        assert (await server.get(DISCOVERY, old)).code == 200
        rules = certificates.rules(authority=certificates.foreign.front_proxy_ca)
        await server.listener.use(server.pair, rules)
        await writer.start_tls(server.context(old), server_hostname=HOST)
        writer.write(
            f"GET {DISCOVERY} HTTP/1.1\r\nHost: {HOST}\r\nX-Remote-User: a\r\n\r\n".encode()
        )
        assert (await reader.readline()).split()[1] == b"401"
    finally:
        writer.close()


async def test_the_serving_certificate_changes_without_a_lost_request(
    server: Server, certificates: Certificates
) -> None:
    client, fresh = certificates.ours.front_proxy_client, issued([HOST], datetime.now(UTC))
    both = server.pair.authorities + fresh.authorities
    async with aiohttp.ClientSession() as session:
        kept = Caller(session, server.context(client, both), server.listener.port)
        assert (await kept.ask(DISCOVERY)).code == 200
        await asyncio.gather(
            server.listener.use(fresh, certificates.rules()),
            *(_once(server, client, both) for _ in range(20)),
        )
        assert (await kept.ask(DISCOVERY)).code == 200
    assert await _served_by(server.listener.port, both) == fresh.certificate


async def test_a_key_that_does_not_fit_leaves_all_as_it_was(
    server: Server, certificates: Certificates
) -> None:
    other = issued([HOST], datetime.now(UTC))
    with pytest.raises(ValueError, match="cannot be used"):
        await server.listener.use(
            Pair(other.authorities, other.certificate, server.pair.key), certificates.rules()
        )
    assert (await server.get(DISCOVERY, certificates.ours.front_proxy_client)).code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Remote-User": "system:kube-aggregator"},
        {**HPA, "Accept": "application/vnd.kubernetes.protobuf, */*"},
        {**HPA, "Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"},
    ],
)
async def test_discovery_and_openapi_are_json_for_every_user_of_the_proxy(
    server: Server, certificates: Certificates, headers: dict[str, str]
) -> None:
    client = certificates.ours.front_proxy_client
    discovery = await server.get(DISCOVERY, client, headers)
    assert discovery.code == 200
    assert discovery.document["resources"]
    assert discovery.headers["Content-Type"].startswith("application/json")
    assert (await server.get("/openapi/v2", client, headers)).document["swagger"] == "2.0"
    assert (await server.get("/openapi/v3", client, headers)).code == 404


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"{VALUE}?labelSelector=model%3Dembed", 404),
        ("GET", f"{VALUE}?labelSelector=model%3Dnobody", 404),
        ("GET", VALUE.replace("lepton_queue_depth", "cpu"), 404),
        ("GET", f"{VALUE}?labelSelector=model%3D%3D%3D", 400),
        ("GET", "/apis", 404),
        ("GET", f"{VALUE}/more", 404),
        ("HEAD", VALUE, 405),
        ("HEAD", DISCOVERY, 405),
        ("HEAD", "/openapi/v2", 405),
        ("POST", VALUE, 405),
        ("DELETE", VALUE, 405),
        ("PUT", DISCOVERY, 405),
    ],
)
async def test_failures_are_status_objects(
    server: Server, certificates: Certificates, method: str, path: str, code: int
) -> None:
    found = await server.get(path, certificates.ours.front_proxy_client, method=method)
    assert found.code == code
    if method != "HEAD":
        assert found.document["kind"] == "Status"
        assert found.document["code"] == code
        assert found.document["message"]


@pytest.mark.parametrize(
    ("selector", "models"),
    [
        ("model%20in%20%28chat%2Cother%29", ["chat"]),
        ("model%21%3Dembed", ["chat"]),
        ("model%2C%21missing%2Cmodel%20notin%20%28embed%29", ["chat"]),
    ],
)
async def test_set_based_selectors_arrive_percent_encoded(
    server: Server, certificates: Certificates, selector: str, models: Sequence[str]
) -> None:
    client = certificates.ours.front_proxy_client
    found = await server.get(f"{VALUE}?labelSelector={selector}", client)
    assert [item["metricLabels"]["model"] for item in found.document["items"]] == models


async def test_requests_are_counted_by_code(server: Server, certificates: Certificates) -> None:
    await server.get(DISCOVERY, certificates.ours.front_proxy_client)
    await server.get(DISCOVERY)
    text = generate_latest(server.registry).decode()
    assert 'lepton_metrics_requests_total{code="200"} 1.0' in text
    assert 'lepton_metrics_requests_total{code="401"} 1.0' in text


async def _once(server: Server, client: KeyPair, authorities: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        caller = Caller(session, server.context(client, authorities), server.listener.port)
        assert (await caller.ask(DISCOVERY)).code == 200


async def _served_by(port: int, authorities: bytes) -> bytes:
    """The certificate that new connections are shown, in PEM."""
    context = ssl.create_default_context(cadata=authorities.decode())
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(shown).encode()
    finally:
        writer.close()
        await writer.wait_closed()
