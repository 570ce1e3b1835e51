"""The metrics API behind a real API server: what callers get, and who gets nothing."""

import base64
import json
import socket
import ssl
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from lepton_testing import metrics_manifests as manifests
from lepton_testing.metrics_api import ROOT, MetricsApi, metrics_api
from lepton_testing.stub_worker import Workers
from localcluster import pki
from localcluster.cluster import Cluster
from localcluster.pki import KeyPair, Pki

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def metrics(
    control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MetricsApi]:
    with metrics_api(control_plane, tmp_path_factory.mktemp("metrics")) as made:
        made.start()
        yield made


@pytest.fixture
def workers(control_plane: Cluster) -> Iterator[Workers]:
    with Workers(control_plane.host_ip) as made:
        yield made


def test_the_hpa_reads_the_sum_of_all_workers(
    metrics: MetricsApi, workers: Workers, namespace: str
) -> None:
    cluster, host = metrics.cluster, metrics.cluster.host_ip
    cluster.wait(f"apiservice/{manifests.API_SERVICE}", "Available", timeout=30)
    one, other = workers.start(waiting=9, running=3), workers.start(waiting=1, running=4)
    cluster.apply(
        [manifests.worker_slice("chat", host, worker) for worker in (one, other)],
        namespace=namespace,
    )
    metrics.await_depth(namespace, "chat", 17)
    one.waiting = 0
    metrics.await_depth(namespace, "chat", 8)
    one.running = other.waiting = other.running = 0
    metrics.await_depth(namespace, "chat", 0)


def test_callers_are_told_what_is_unknown_and_why(
    metrics: MetricsApi, workers: Workers, namespace: str
) -> None:
    worker = workers.start()
    workers.kill(worker.port)
    slice_ = manifests.worker_slice("chat", metrics.cluster.host_ip, worker)
    metrics.cluster.apply(slice_, namespace=namespace)

    def culprit() -> str | None:
        found = str(metrics.depth(namespace, "chat"))
        return found if "has not answered yet: " in found else None

    message = metrics.cluster.eventually(culprit, "the worker is named", timeout=20)
    assert message.startswith("Error from server (NotFound): queue depth of model chat")
    assert f":{worker.port}" in message
    assert "no model in namespace" in str(metrics.depth(namespace, "nobody"))
    path = f"{ROOT}/namespaces/{namespace}/cpu"
    assert "there is lepton_queue_depth only" in metrics.get(path).stderr


def test_selectors_of_every_form_pass_the_api_server(
    metrics: MetricsApi, workers: Workers, namespace: str
) -> None:
    for model in ("chat", "embed"):
        slice_ = manifests.worker_slice(model, metrics.cluster.host_ip, workers.start(waiting=1))
        metrics.cluster.apply(slice_, namespace=namespace)
        metrics.await_depth(namespace, model, 1)
    for selector, models in {
        "model%20in%20%28chat%2Cother%29": {"chat"},
        "model%20notin%20%28chat%29": {"embed"},
        "model%21%3Dchat": {"embed"},
        "model%2C%21tier": {"chat", "embed"},
    }.items():
        path = f"{ROOT}/namespaces/{namespace}/lepton_queue_depth?labelSelector={selector}"
        items = json.loads(metrics.get(path).stdout)["items"]
        assert {item["metricLabels"]["model"] for item in items} == models


def test_discovery_names_the_one_resource(metrics: MetricsApi) -> None:
    found = json.loads(metrics.cluster.kubectl("get", "--raw", ROOT).stdout)
    assert [resource["name"] for resource in found["resources"]] == ["lepton_queue_depth"]
    listed = metrics.cluster.kubectl("api-resources", "--api-group=external.metrics.k8s.io")
    assert "lepton_queue_depth" in listed.stdout


def test_a_caller_that_prefers_protobuf_gets_json(
    metrics: MetricsApi, workers: Workers, namespace: str
) -> None:
    cluster = metrics.cluster
    slice_ = manifests.worker_slice("chat", cluster.host_ip, workers.start(running=2))
    cluster.apply(slice_, namespace=namespace)
    metrics.await_depth(namespace, "chat", 2)
    context = ssl.create_default_context(cafile=str(cluster.pki.cluster_ca.cert))
    context.load_cert_chain(cluster.pki.admin.cert, cluster.pki.admin.key)
    request = Request(
        f"{cluster.server}{ROOT}/namespaces/{namespace}/lepton_queue_depth",
        headers={"Accept": "application/vnd.kubernetes.protobuf, */*"},
    )
    with urlopen(request, context=context, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        assert json.load(answer)["items"][0]["value"] == "2"


def test_the_api_server_turns_away_who_has_no_right(metrics: MetricsApi, namespace: str) -> None:
    path = f"{ROOT}/namespaces/{namespace}/lepton_queue_depth"
    found = metrics.get(path, user=f"system:serviceaccount:{namespace}:default")
    assert "Forbidden" in found.stderr


@pytest.mark.parametrize(
    "forbidden",
    [
        "get pods",
        "list secrets",
        "create secrets",
        "delete secrets/lepton-metrics-tls",
        "list leptonmodels.lepton.ai",
        "patch deployments.apps",
        "delete apiservices.apiregistration.k8s.io/v1beta1.external.metrics.k8s.io",
        "patch apiservices.apiregistration.k8s.io/v1beta1.metrics.k8s.io",
        "create tokenreviews.authentication.k8s.io",
        "create subjectaccessreviews.authorization.k8s.io",
    ],
)
def test_its_account_can_do_nothing_else(metrics: MetricsApi, forbidden: str) -> None:
    account = f"system:serviceaccount:{metrics.namespace}:{manifests.ACCOUNT}"
    found = metrics.cluster.kubectl(
        "auth", "can-i", *forbidden.split(), f"--as={account}", "-n", metrics.namespace, check=False
    )
    assert found.stdout.strip() == "no"


def test_the_front_proxys_certificate_is_let_in_and_no_other(
    metrics: MetricsApi, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster = metrics.cluster
    foreign: Pki = pki.create(tmp_path_factory.mktemp("pki"), "node", "192.0.2.1", "192.0.2.2")
    name = cluster.client_certificate("somebody", ca="front-proxy")
    assert _direct(metrics, cluster.pki.front_proxy_client) == 200
    assert _direct(metrics, None) == 401
    assert _direct(metrics, name) == 401
    for refused in (foreign.front_proxy_client, cluster.pki.admin):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _direct(metrics, refused)


def test_probes_and_prometheus_need_no_certificate(metrics: MetricsApi) -> None:
    replica = metrics.replicas[0]
    assert replica.page("/healthz") == (200, "ok\n")
    code, text = replica.page("/readyz")
    assert code == 200
    for line in ("[+]certificate ok", "[+]front proxy ok", "[+]first collection ok", "is ours"):
        assert line in text
    assert "lepton_metrics_sources" in replica.page("/metrics")[1]


def _direct(metrics: MetricsApi, client: KeyPair | None) -> int:
    """Status that the process itself answers, without the API server in front."""
    name, port = f"lepton-metrics.{metrics.namespace}.svc", metrics.replicas[0].port
    secret = metrics.cluster.get("secret", manifests.SECRET, "-n", metrics.namespace)
    authority = base64.b64decode(secret["data"]["ca.crt"]).decode()
    context = ssl.create_default_context(cadata=authority)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    with (
        socket.create_connection((metrics.cluster.host_ip, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        head = f"GET {ROOT} HTTP/1.1\r\nHost: {name}\r\nX-Remote-User: hpa\r\n"
        wrapped.sendall(f"{head}Connection: close\r\n\r\n".encode())
        if not (answer := wrapped.recv(64)):
            raise ConnectionError("closed without an answer")
        return int(answer.split()[1])
