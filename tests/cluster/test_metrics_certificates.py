"""Certificates of the metrics API in a real control plane: made, shared, changed without a gap."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from lepton_operator.metrics.certificates import Pair, issued, names, secret_data
from lepton_testing import metrics_manifests as manifests
from lepton_testing.metrics_api import QUICK, ROOT, MetricsApi, Replica, metrics_api
from lepton_testing.stub_worker import Workers
from localcluster import pki
from localcluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture
def metrics(control_plane: Cluster, tmp_path: Path) -> Iterator[MetricsApi]:
    with metrics_api(control_plane, tmp_path, QUICK) as made:
        yield made


@pytest.fixture
def workers(control_plane: Cluster) -> Iterator[Workers]:
    with Workers(control_plane.host_ip) as made:
        yield made


def test_replicas_that_start_together_share_one_certificate(metrics: MetricsApi) -> None:
    both = [metrics.prepare(), metrics.prepare()]
    for replica in both:
        replica.start()
    for replica in both:
        metrics.await_ready(replica)
    authority = _secret(metrics)["ca.crt"]
    assert {_served(metrics, replica, authority) for replica in both} == {
        _secret(metrics)["tls.crt"]
    }
    assert _bundle(metrics) == authority


def test_a_change_of_certificate_fails_no_request(
    metrics: MetricsApi, workers: Workers, namespace: str
) -> None:
    first, second = metrics.start(), metrics.start()
    worker = workers.start(waiting=3)
    slice_ = manifests.worker_slice("chat", metrics.cluster.host_ip, worker)
    metrics.cluster.apply(slice_, namespace=namespace)
    metrics.await_depth(namespace, "chat", 3)
    old = _secret(metrics)
    path = f"{ROOT}/namespaces/{namespace}/lepton_queue_depth?labelSelector=model%3Dchat"
    with _asked_all_the_time(metrics, path) as asked:
        patch = json.dumps({"data": {"tls.crt": None}})
        metrics.cluster.kubectl(
            "patch", "secret", manifests.SECRET, "-n", metrics.namespace, "--patch", patch
        )
        for replica in (first, second):
            _await_new_certificate(metrics, replica, old["tls.crt"])
        new = _secret(metrics)
        assert _bundle(metrics) in (new["ca.crt"] + old["ca.crt"], old["ca.crt"] + new["ca.crt"])
        metrics.cluster.eventually(
            lambda: _bundle(metrics) == new["ca.crt"], "the old authority is dropped", timeout=60
        )
    assert asked.failures == []
    assert asked.answers > 100


def test_the_front_proxys_authority_changes_without_a_restart(
    metrics: MetricsApi, tmp_path: Path
) -> None:
    cluster, replica = metrics.cluster, metrics.start()
    assert replica.process is not None
    before, process = _authorities(cluster), replica.process.pid
    other = pki.create(tmp_path / "pki", "node", "192.0.2.1", "192.0.2.2")
    try:
        cluster.restart("kube-apiserver", _front_proxy(other))

        def answered() -> bool:
            found = metrics.get(ROOT)
            assert found.returncode == 0, found.stderr
            return True

        cluster.eventually(answered, "an answer to the new front proxy", timeout=60)
        assert _authorities(cluster) != before
    finally:
        cluster.restart("kube-apiserver", _front_proxy(cluster.pki))
    cluster.eventually(answered, "an answer to the old front proxy", timeout=60)
    assert replica.process.poll() is None
    assert replica.process.pid == process
    assert "front-proxy rules read" in replica.log.read_text()


def test_somebody_elses_api_service_is_left_alone(metrics: MetricsApi) -> None:
    foreign = manifests.api_service(metrics.namespace, "keda-operator-metrics-apiserver")
    metrics.cluster.apply(foreign)
    replica = metrics.start()
    metrics.cluster.eventually(
        lambda: "MetricsAPIConflict" in replica.page("/readyz")[1], "the conflict is reported"
    )
    assert "lepton_metrics_api_conflict 1.0" in replica.page("/metrics")[1]
    assert "MetricsAPIConflict" in replica.log.read_text()
    found = _api_service(metrics)
    assert "caBundle" not in found["spec"]
    assert {entry["manager"] for entry in found["metadata"]["managedFields"]}.isdisjoint(
        {"lepton-metrics"}
    )
    metrics.cluster.apply(manifests.api_service(metrics.namespace))
    metrics.cluster.eventually(lambda: _bundle(metrics) or None, "the APIService is ours now")


def test_applying_the_chart_again_takes_nothing_away(metrics: MetricsApi) -> None:
    metrics.start()
    before = (_secret(metrics), _bundle(metrics))
    assert before[1]
    metrics.cluster.apply(manifests.registration(metrics.namespace))
    assert (_secret(metrics), _bundle(metrics)) == before


def test_a_certificate_of_somebody_else_is_used_as_it_is(metrics: MetricsApi) -> None:
    external = {"LEPTON_METRICS_EXTERNAL_TLS": "true"}
    replica = metrics.prepare(external)
    replica.start()
    metrics.cluster.eventually(
        lambda: "filled" in _page(replica) or "cannot be served" in _page(replica),
        "the missing certificate is named",
    )
    assert replica.page("/readyz")[0] == 503
    theirs = issued(names(manifests.SERVICE, metrics.namespace), datetime.now(UTC))
    _fill(metrics, theirs)
    metrics.await_ready(replica)
    metrics.register(replica)
    assert _served(metrics, replica, theirs.authorities) == theirs.certificate
    assert _bundle(metrics) == theirs.authorities

    def answered() -> bool:
        return metrics.get(ROOT).returncode == 0

    metrics.cluster.eventually(answered, "an answer through the API server")
    assert _secret(metrics)["tls.crt"] == theirs.certificate


class _Asked:
    """What became of many requests."""

    def __init__(self) -> None:
        self.answers = 0
        self.failures: list[str] = []


@contextmanager
def _asked_all_the_time(metrics: MetricsApi, path: str) -> Iterator[_Asked]:
    """Ask through the API server, each time on a new connection, until the block ends."""
    cluster, asked, stop = metrics.cluster, _Asked(), threading.Event()
    context = ssl.create_default_context(cafile=str(cluster.pki.cluster_ca.cert))
    context.load_cert_chain(cluster.pki.admin.cert, cluster.pki.admin.key)

    def ask() -> None:
        while not stop.is_set():
            try:
                with urlopen(f"{cluster.server}{path}", context=context, timeout=10) as answer:
                    assert json.load(answer)["items"][0]["value"] == "3"
                asked.answers += 1
            except Exception as error:
                asked.failures.append(f"{datetime.now(UTC)}: {error!r}")
                time.sleep(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()


def _front_proxy(material: pki.Pki) -> dict[str, str]:
    return {
        "requestheader-client-ca-file": str(material.front_proxy_ca.cert),
        "proxy-client-cert-file": str(material.front_proxy_client.cert),
        "proxy-client-key-file": str(material.front_proxy_client.key),
    }


def _authorities(cluster: Cluster) -> str:
    found = cluster.get("configmap", "extension-apiserver-authentication", "-n", "kube-system")
    return str(found["data"]["requestheader-client-ca-file"])


def _api_service(metrics: MetricsApi) -> dict[str, Any]:
    return metrics.cluster.get("apiservice", manifests.API_SERVICE, "--show-managed-fields")


def _bundle(metrics: MetricsApi) -> bytes:
    return base64.b64decode(_api_service(metrics)["spec"].get("caBundle") or "")


def _secret(metrics: MetricsApi) -> dict[str, bytes]:
    found = metrics.cluster.get("secret", manifests.SECRET, "-n", metrics.namespace)
    return {name: base64.b64decode(part) for name, part in (found.get("data") or {}).items()}


def _fill(metrics: MetricsApi, pair: Pair) -> None:
    patch = json.dumps({"data": secret_data(pair)})
    metrics.cluster.kubectl(
        "patch", "secret", manifests.SECRET, "-n", metrics.namespace, "--patch", patch
    )


def _page(replica: Replica) -> str:
    return replica.page("/readyz")[1]


def _served(metrics: MetricsApi, replica: Replica, authority: bytes) -> bytes:
    """The certificate a replica shows, in PEM; it has to be of this authority."""
    context = ssl.create_default_context(cadata=authority.decode())
    name = f"lepton-metrics.{metrics.namespace}.svc"
    with (
        socket.create_connection((metrics.cluster.host_ip, replica.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return ssl.DER_cert_to_PEM_cert(shown).encode()


def _await_new_certificate(metrics: MetricsApi, replica: Replica, old: bytes) -> None:
    """Wait until a replica shows another certificate, always one that callers trust."""
    metrics.cluster.eventually(
        lambda: _served(metrics, replica, _bundle(metrics)) != old,
        "a new certificate is served",
        timeout=30,
    )
