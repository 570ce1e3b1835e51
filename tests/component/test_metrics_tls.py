"""Who is let in: the API over real TLS with certificates of both authorities."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from lepton_operator.metrics.certificates import Pair, issued
from lepton_operator.metrics.trust import Trust
from lepton_testing.metrics_server import (
    DISCOVERY,
    HOST,
    HPA,
    VALUE,
    Caller,
    Certificates,
    Server,
    a_server,
)
from localcluster import pki
from localcluster.pki import KeyPair, Pki

pytestmark = [pytest.mark.component, pytest.mark.timeout(60)]


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
