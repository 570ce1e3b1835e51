"""The metrics API as real processes on this machine, registered in a control plane."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from urllib.error import HTTPError
from urllib.request import urlopen

from lepton_testing import metrics_manifests as manifests
from lepton_testing.metrics_manifests import ACCOUNT, API_SERVICE, SERVICE
from localcluster.cluster import Cluster
from localcluster.errors import DeadlinePassed

HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
ROOT = "/apis/external.metrics.k8s.io/v1beta1"

PROGRAM = (sys.executable, "-m", "lepton_operator", "metrics")

_QUICK = """
import asyncio, logging, os
from lepton_operator import settings
from lepton_operator.metrics.credentials import Timing
from lepton_operator.metrics.process import serve

logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
timing = Timing(recheck=0.5, handover=3, farewell=10)
asyncio.run(serve(settings.read(os.environ), timing))
"""

QUICK = (sys.executable, "-c", _QUICK)
"""The process with changes of certificates in seconds rather than minutes."""


@dataclass
class Replica:
    """One process."""

    environment: dict[str, str]
    log: Path
    program: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Of the API, over TLS."""
        return int(self.environment["LEPTON_METRICS_PORT"])

    def start(self) -> None:
        """Start it, without waiting for anything."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.program, env=self.environment, stdout=log, stderr=log
            )

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def close(self) -> None:
        """See to it that it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def page(self, path: str) -> tuple[int, str]:
        """A page of the plain port: status and text."""
        address = f"http://127.0.0.1:{self.environment['LEPTON_HEALTH_PORT']}{path}"
        try:
            with urlopen(address, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()


@dataclass
class MetricsApi:
    """An installation of the metrics API."""

    cluster: Cluster
    namespace: str
    folder: Path
    program: Sequence[str] = PROGRAM
    replicas: list[Replica] = field(default_factory=list)

    def start(self) -> Replica:
        """Start one more replica and register it once it is ready."""
        replica = self.prepare()
        replica.start()
        self.await_ready(replica)
        self.register(replica)
        return replica

    def prepare(self, environment: Mapping[str, str] = {}) -> Replica:
        """One more replica that does not run yet, with additions to its environment."""
        log = self.folder / f"replica-{len(self.replicas)}.log"
        log.touch()
        replica = Replica({**self._environment(), **environment}, log, self.program)
        self.replicas.append(replica)
        return replica

    def await_ready(self, replica: Replica) -> None:
        """Wait until a replica says that it is ready."""
        try:
            self.cluster.eventually(
                lambda: replica.page("/readyz")[0] == 200, "a replica is ready", timeout=30
            )
        except DeadlinePassed as error:
            raise AssertionError(f"not ready:\n{replica.log.read_text()}") from error

    def register(self, replica: Replica) -> None:
        """Make a replica an endpoint of the Service."""
        host, port = self.cluster.host_ip, replica.port
        self.cluster.apply(manifests.replica_slice(self.namespace, host, port))

    def deregister(self, replica: Replica) -> None:
        """As kubelet's probe does when a replica is gone."""
        name = f"endpointslice/{SERVICE}-{replica.port}"
        self.cluster.kubectl("delete", name, "-n", self.namespace)

    def get(self, path: str, user: str = HPA) -> CompletedProcess[str]:
        """A GET through the API server as somebody."""
        return self.cluster.kubectl("get", "--raw", path, f"--as={user}", check=False)

    def depth(self, namespace: str, model: str) -> int | str:
        """Queue depth as the HPA reads it, or the message that it gets instead."""
        selector = f"labelSelector=model%3D{model}"
        found = self.get(f"{ROOT}/namespaces/{namespace}/lepton_queue_depth?{selector}")
        if found.returncode:
            return found.stderr.strip()
        (item,) = json.loads(found.stdout)["items"]
        return int(item["value"])

    def await_depth(self, namespace: str, model: str, value: int) -> None:
        """Wait until the queue depth is that."""

        def reached() -> bool:
            found = self.depth(namespace, model)
            assert found == value
            return True

        self.cluster.eventually(reached, f"queue depth {value} of {model}", timeout=30)

    def close(self) -> None:
        """End all replicas."""
        for replica in self.replicas:
            replica.close()

    def log(self) -> str:
        """What all replicas wrote."""
        return "\n".join(replica.log.read_text() for replica in self.replicas)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "LEPTON_NAMESPACE": self.namespace,
            "LEPTON_METRICS_PORT": str(free_port()),
            "LEPTON_HEALTH_PORT": str(free_port()),
        }


@contextmanager
def metrics_api(
    cluster: Cluster, folder: Path, program: Sequence[str] = PROGRAM
) -> Iterator[MetricsApi]:
    """Rights, Service, Secret and APIService of an installation; all of it is gone afterwards."""
    with ExitStack() as stack:
        namespace = stack.enter_context(cluster.namespace("lepton-metrics"))
        made = MetricsApi(cluster, namespace, folder, program)
        stack.callback(_clean, cluster, namespace)
        stack.callback(made.close)
        cluster.apply([*manifests.rights(namespace), *manifests.registration(namespace)])
        _write_kubeconfig(cluster, namespace, folder / "kubeconfig")
        yield made


def free_port() -> int:
    """A port that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_kubeconfig(cluster: Cluster, namespace: str, path: Path) -> None:
    """Of the metrics API's own account, so that it can do no more than it will be able to."""
    token = cluster.kubectl("create", "token", ACCOUNT, "-n", namespace).stdout.strip()
    server = {"server": cluster.server, "certificate-authority": str(cluster.pki.cluster_ca.cert)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    path.write_text(json.dumps(config))


def _clean(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("delete", "apiservice", API_SERVICE, "--ignore-not-found")
    for kind in ("clusterrole", "clusterrolebinding"):
        cluster.kubectl("delete", kind, namespace, "--ignore-not-found")
    cluster.kubectl("delete", "rolebinding", namespace, "-n", "kube-system", "--ignore-not-found")
