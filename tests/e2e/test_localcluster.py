"""The local cluster itself: pods, names, Services, logs, and nothing left afterwards."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from localcluster import cluster, images, teardown
from localcluster.cluster import Cluster
from localcluster.errors import ComponentFailed, Refused
from localcluster.paths import cache
from localcluster.plan import Options
from localcluster.waiting import until

pytestmark = pytest.mark.e2e

GET = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).status)"
SERVE = ["python3", "-m", "http.server", "8080", "--directory", "/etc"]


@pytest.fixture(scope="module")
def image(full_cluster: Cluster) -> str:
    """The plain base image, as pods name it."""
    return full_cluster.push(images.base_image("base"))


def pod(name: str, image: str, command: list[str], **spec: object) -> dict[str, object]:
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        **spec,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def web_server(image: str) -> list[dict[str, object]]:
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    service: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [pod("web", image, SERVE, readinessProbe=probe), service]


def test_a_service_answers_pods_by_name_and_this_machine_by_address(
    full_cluster: Cluster, namespace: str, image: str
) -> None:
    full_cluster.apply(web_server(image), namespace=namespace)
    full_cluster.wait("pod/web", "Ready", namespace=namespace)

    def from_pod() -> str:
        name = f"http://front.{namespace}.svc.cluster.local/hostname"
        argv = ("exec", "-n", namespace, "web", "--", "python3", "-c", GET, name)
        return full_cluster.kubectl(*argv).stdout.strip()

    assert full_cluster.eventually(from_pod, "an answer", namespace=namespace) == "200"
    address = full_cluster.get("service", "front", "-n", namespace)["spec"]["clusterIP"]
    with urllib.request.urlopen(f"http://{address}/hostname", timeout=5) as answer:
        assert answer.read().decode().strip() == "web"
    assert "GET /hostname" in full_cluster.kubectl("logs", "-n", namespace, "web").stdout


def test_a_deleted_pod_is_gone_and_its_address_with_it(
    full_cluster: Cluster, namespace: str, image: str
) -> None:
    full_cluster.apply(web_server(image), namespace=namespace)
    full_cluster.wait("pod/web", "Ready", namespace=namespace)
    full_cluster.kubectl("delete", "pod", "web", "-n", namespace, "--wait=false")
    full_cluster.wait("pod/web", "delete", namespace=namespace)
    address = full_cluster.get("service", "front", "-n", namespace)["spec"]["clusterIP"]

    def refused() -> bool:
        try:
            urllib.request.urlopen(f"http://{address}/", timeout=1).close()
        except OSError:
            return True
        return False

    full_cluster.eventually(refused, "a Service without pods refusing")


def test_a_model_folder_is_mounted(
    full_cluster: Cluster, namespace: str, image: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "config.json").write_text("{}")
    full_cluster.model_volume("models", tmp_path, namespace)
    reader = pod(
        "reader", image, ["cat", "/models/config.json"],
        volumeMounts=[{"name": "models", "mountPath": "/models", "readOnly": True}],
    )  # fmt: skip
    spec = reader["spec"]
    assert isinstance(spec, dict)
    spec["restartPolicy"] = "Never"
    spec["volumes"] = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    full_cluster.apply(reader, namespace=namespace)
    done = "jsonpath={.status.phase}=Succeeded"
    full_cluster.wait("pod/reader", done, namespace=namespace)
    assert full_cluster.kubectl("logs", "reader", "-n", namespace).stdout == "{}"


def test_a_pod_that_wants_a_device_waits_until_one_is_offered(
    full_cluster: Cluster, namespace: str, image: str
) -> None:
    wants = {"limits": {"nvidia.com/gpu": "1", "memory": "64Mi", "cpu": "100m"}}
    full_cluster.apply(pod("gpu", image, SERVE, resources=wants), namespace=namespace)
    unschedulable = "jsonpath={.status.conditions[0].reason}=Unschedulable"
    full_cluster.wait("pod/gpu", unschedulable, namespace=namespace)
    full_cluster.set_gpus(2)
    try:
        full_cluster.wait("pod/gpu", "Ready", namespace=namespace)
    finally:
        full_cluster.kubectl("delete", "pod", "gpu", "-n", namespace)
        full_cluster.set_gpus(0)


def test_a_cpu_autoscaler_is_alive(full_cluster: Cluster, namespace: str, image: str) -> None:
    full_cluster.kubectl("-n", namespace, "create", "deployment", "web", f"--image={image}")
    full_cluster.kubectl("-n", namespace, "autoscale", "deployment", "web", "--max=2", "--cpu=50%")

    def judged() -> bool:
        found = full_cluster.get("hpa", "web", "-n", namespace)
        return bool(found["status"].get("conditions"))

    full_cluster.eventually(judged, "an autoscaler with conditions", timeout=15)


def test_pods_outlive_the_kubelet_and_the_runtime(
    full_cluster: Cluster, namespace: str, image: str
) -> None:
    full_cluster.apply(web_server(image), namespace=namespace)
    full_cluster.wait("pod/web", "Ready", namespace=namespace)
    for component in ("kubelet", "containerd"):
        full_cluster.restart(component)

    def executes() -> str:
        argv = ("exec", "-n", namespace, "web", "--", "cat", "/etc/hostname")
        return full_cluster.kubectl(*argv).stdout.strip()

    assert full_cluster.eventually(executes, "exec", namespace=namespace) == "web"
    (found,) = full_cluster.get("pods", "-n", namespace)["items"]
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_second_node_is_refused_and_the_first_named(full_cluster: Cluster) -> None:
    with pytest.raises(Refused, match=f"cluster {full_cluster.name} already has the node"):
        cluster.create("second", Options(node=True))


@pytest.mark.usefixtures("free_machine")
def test_nothing_is_left_of_a_cluster_with_a_pod() -> None:
    made = cluster.create("clean", Options(node=True))
    try:
        run_web_server(made)
        assert teardown.left_by(cache().run("clean"), cache(), node=True)
    finally:
        made.down()
    made.down()
    assert teardown.left_by(cache().run("clean"), cache(), node=True) == []


@pytest.mark.usefixtures("free_machine")
def test_a_killed_owner_takes_its_cluster_along() -> None:
    code = (
        "import sys, time\n"
        "from localcluster import cluster, processes\n"
        "from localcluster.plan import Options\n"
        "cluster.create('orphan', Options(node=True), owner=processes.current())\n"
        "print('up', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        run_web_server(cluster.attach("orphan"))
        owner.send_signal(signal.SIGKILL)
    run = cache().run("orphan")
    until(lambda: not teardown.left_by(run, cache(), node=True), "nothing left of orphan", 30)


@pytest.mark.usefixtures("free_machine")
def test_up_killed_half_way_is_cleaned_by_the_next_one() -> None:
    argv = [sys.executable, "-m", "localcluster", "up", "half"]
    run = cache().run("half")
    with subprocess.Popen(argv, start_new_session=True) as starting:
        until(lambda: (run.processes / "kube-apiserver.json").exists(), "half a cluster", 30)
        starting.kill()
    with pytest.raises(Refused, match="half is not up"):
        cluster.attach("half")
    made = cluster.create("half", Options(node=True))
    assert made.all_components()["kubelet"]
    made.down()
    assert teardown.left_by(run, cache(), node=True) == []


@pytest.mark.usefixtures("free_machine")
def test_a_component_that_fails_is_named_with_its_log() -> None:
    options = Options(node=False, flags={"kube-scheduler": {"no-such-flag": "1"}})
    with pytest.raises(
        ComponentFailed, match=r"(?s)kube-scheduler ended.*unknown flag: --no-such-flag"
    ):
        cluster.create("faulty", options)
    assert teardown.left_by(cache().run("faulty"), cache(), node=False) == []


def run_web_server(made: Cluster) -> None:
    """Leave a pod running: taking down must cope with it."""
    made.apply(web_server(made.push(images.base_image("base"))), namespace="default")
    made.wait("pod/web", "Ready", namespace="default")
