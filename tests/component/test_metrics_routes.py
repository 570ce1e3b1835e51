"""What the API answers to whom it lets in: routes, forms, failures."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from lepton_testing.metrics_server import DISCOVERY, HPA, VALUE, Certificates, Server, a_server
from localcluster import pki
from localcluster.pki import Pki

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
