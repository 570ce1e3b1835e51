"""The control plane of the local cluster: what tests of the operator build upon."""

import http.server
import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from localcluster.cluster import Cluster
from localcluster.errors import DeadlinePassed, Refused
from localcluster.pki import KeyPair

pytestmark = pytest.mark.cluster


def deployment(name: str, replicas: int = 1) -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "1m"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def as_user(cluster: Cluster, user: KeyPair, path: str) -> dict[str, object]:
    context = ssl.create_default_context(cafile=str(cluster.pki.cluster_ca.cert))
    context.load_cert_chain(user.cert, user.key)
    with urllib.request.urlopen(cluster.server + path, context=context) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def test_the_server_knows_its_version(control_plane: Cluster) -> None:
    version = json.loads(control_plane.kubectl("get", "--raw", "/version").stdout)
    assert version["gitVersion"].startswith("v1.35.")
    assert (version["major"], version["minor"]) == ("1", "35")


def test_controllers_make_pods_of_a_deployment(control_plane: Cluster, namespace: str) -> None:
    control_plane.apply(deployment("web", replicas=2), namespace=namespace)

    def pods() -> bool:
        return len(control_plane.get("pods", "-n", namespace)["items"]) == 2

    control_plane.eventually(pods, "two pods", namespace=namespace)


def test_a_bare_node_is_scheduled_to(control_plane: Cluster, namespace: str) -> None:
    control_plane.add_node("bare", {"cpu": "4", "memory": "8Gi", "pods": "10"})
    control_plane.apply(deployment("web"), namespace=namespace)

    def scheduled() -> bool:
        (pod,) = control_plane.get("pods", "-n", namespace)["items"]
        return bool(pod["spec"].get("nodeName") == "bare")

    control_plane.eventually(scheduled, "a scheduled pod", namespace=namespace)
    control_plane.set_gpus(3, node="bare")
    assert control_plane.get("node", "bare")["status"]["allocatable"]["nvidia.com/gpu"] == "3"
    control_plane.set_gpus(0, node="bare")
    control_plane.set_gpus(0, node="bare")
    assert "nvidia.com/gpu" not in control_plane.get("node", "bare")["status"]["capacity"]
    control_plane.kubectl("delete", "node", "bare")


def test_the_autoscaler_looks_every_second(control_plane: Cluster, namespace: str) -> None:
    control_plane.apply(deployment("web"), namespace=namespace)
    control_plane.kubectl("-n", namespace, "autoscale", "deployment", "web", "--max=3", "--cpu=50%")

    def judged() -> bool:
        found = control_plane.get("hpa", "web", "-n", namespace)
        types = {condition["type"] for condition in found["status"]["conditions"]}
        return "ScalingActive" in types

    control_plane.eventually(judged, "an autoscaler with conditions", timeout=15)


def test_certificates_of_other_users_are_accepted(control_plane: Cluster) -> None:
    user = control_plane.client_certificate("jane", ["readers"])
    said = as_user(control_plane, user, "/apis/authentication.k8s.io/v1")
    assert said["groupVersion"] == "authentication.k8s.io/v1"
    kubeconfig = control_plane.kubeconfig_for("jane", ["readers"])
    who = control_plane.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami").stdout
    assert "jane" in who
    assert "readers" in who


def test_the_front_proxys_authority_opens_no_door(control_plane: Cluster) -> None:
    intruder = control_plane.client_certificate(
        "lepton-admin", ["system:masters"], ca="front-proxy"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        as_user(control_plane, intruder, "/api/v1/secrets")
    refused.value.close()
    assert refused.value.code in (401, 403)


@pytest.fixture
def metrics_server(control_plane: Cluster) -> Iterator[int]:
    """An aggregated API on this machine, answering with what the front proxy said of the user."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = {"user": self.headers.get("X-Remote-User"), "kind": "APIResourceList"}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(control_plane.pki.front_proxy_ca.cert)
    )
    context.verify_mode = ssl.CERT_REQUIRED
    serving = control_plane.pki.apiserver
    context.load_cert_chain(serving.cert, serving.key)
    server = http.server.ThreadingHTTPServer((control_plane.host_ip, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_aggregated_api_is_reached_on_this_machine(
    control_plane: Cluster, namespace: str, metrics_server: int
) -> None:
    control_plane.host_service("metrics", namespace, 443, metrics_server)
    group = "probe.lepton.ai"
    control_plane.apply(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1.{group}"},
            "spec": {
                "group": group,
                "version": "v1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "metrics", "namespace": namespace, "port": 443},
            },
        }
    )
    try:
        control_plane.wait(f"apiservice/v1.{group}", "Available")
        said = json.loads(control_plane.kubectl("get", "--raw", f"/apis/{group}/v1").stdout)
        assert said["user"] == "lepton-admin"
    finally:
        control_plane.kubectl("delete", "apiservice", f"v1.{group}")


def test_a_component_can_be_away_for_a_while(control_plane: Cluster, namespace: str) -> None:
    control_plane.stop("kube-controller-manager")
    try:
        control_plane.apply(deployment("web"), namespace=namespace)
        assert control_plane.get("pods", "-n", namespace)["items"] == []
    finally:
        control_plane.start(
            "kube-controller-manager", {"horizontal-pod-autoscaler-sync-period": "2s"}
        )

    def pods() -> bool:
        return len(control_plane.get("pods", "-n", namespace)["items"]) == 1

    control_plane.eventually(pods, "a pod", namespace=namespace)
    control_plane.restart(
        "kube-controller-manager", {"horizontal-pod-autoscaler-sync-period": "1s"}
    )


def test_what_was_waited_for_in_vain_is_explained(control_plane: Cluster, namespace: str) -> None:
    control_plane.apply(deployment("web"), namespace=namespace)
    with pytest.raises(DeadlinePassed, match="kubectl describe deployment/web"):
        control_plane.wait("deployment/web", "Available", namespace=namespace, timeout=1)
    with pytest.raises(DeadlinePassed, match="never, of course"):
        control_plane.eventually(lambda: None, "never, of course", timeout=0.1)


def test_what_needs_a_node_is_refused(control_plane: Cluster) -> None:
    with pytest.raises(Refused, match="has no node"):
        _ = control_plane.node_name


def test_an_unknown_component_is_named(control_plane: Cluster) -> None:
    with pytest.raises(Refused, match="no component 'kubelet'; it has etcd"):
        control_plane.stop("kubelet")


def test_simulated_nodes_and_pods_live(control_plane: Cluster, namespace: str) -> None:
    control_plane.simulate(load_seconds=1)
    try:
        control_plane.add_node("living", {"cpu": "4", "memory": "8Gi", "pods": "10"})
        control_plane.wait("node/living", "Ready", timeout=20)
        control_plane.apply(deployment("web", replicas=2), namespace=namespace)
        control_plane.wait("deployment/web", "Available", namespace=namespace, timeout=20)
        addresses = {
            pod["status"]["podIP"] for pod in control_plane.get("pods", "-n", namespace)["items"]
        }
        assert len(addresses) == 2
        control_plane.kubectl(
            "delete", "deployment", "web", "-n", namespace, "--cascade=foreground"
        )
    finally:
        control_plane.kubectl("delete", "node", "living")
        control_plane.stop("kwok")
