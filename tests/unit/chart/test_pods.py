"""Pods of the chart: how they are confined, probed, configured and spread."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lepton_operator import settings
from lepton_testing.chart import Manifest, Release, only, render

PARTS = ("operator", "metrics")
PINNED = "sha256:" + "0" * 64


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs by the name of their Deployment, and the test pod."""
    found = {"test": only(objects, "Pod")["spec"]}
    for item in objects:
        if item["kind"] == "Deployment":
            found[item["metadata"]["name"]] = item["spec"]["template"]["spec"]
    return found


def part(objects: list[Manifest], name: str) -> Manifest:
    """Pod spec of the operator or of the metrics API."""
    return pods(objects)[f"lepton-{name}"]


def environment(spec: Manifest) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}


class Watched(Mapping[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_, self.asked = values, set[str]()

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_every_pod_is_confined() -> None:
    found = pods(render())
    assert set(found) == {"lepton-operator", "lepton-metrics", "test"}
    for spec in found.values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 65532
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("name", PARTS)
def test_probes_ask_the_health_port(name: str) -> None:
    [container] = part(render(), name)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["health"] == 8080
    for probe, path in (
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}


def test_operator_runs_once_and_is_never_doubled_by_an_upgrade() -> None:
    spec = only(render(), "Deployment", "lepton-operator")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_metrics_api_stays_up_through_upgrades_and_drains() -> None:
    objects = render()
    spec = only(objects, "Deployment", "lepton-metrics")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == spec["selector"]
    spread = spec["template"]["spec"]["affinity"]["podAntiAffinity"]
    [term] = spread["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["labelSelector"] == spec["selector"]


def test_a_single_metrics_pod_has_no_budget_that_would_block_drains() -> None:
    kinds = {item["kind"] for item in render({"metrics": {"replicas": 1}})}
    assert "PodDisruptionBudget" not in kinds


def test_the_environment_is_read_and_nothing_the_programs_read_is_forgotten() -> None:
    values = {"worker": {"gpuImage": {"repository": "registry.test/lepton-worker-gpu"}}}
    objects = render(values)
    given = {name: environment(part(objects, name)) for name in PARTS}
    watched = Watched({**given["operator"], **given["metrics"]})
    settings.read(watched)
    assert set(watched) == watched.asked


def test_values_arrive_as_settings() -> None:
    values = {
        "watchNamespaces": ["team-a", "team-b"],
        "nodePaths": {"enabled": True},
        "log": {"level": "DEBUG", "format": "json"},
        "worker": {
            "image": {"tag": "2.0", "pullPolicy": "Always"},
            "gpuImage": {"repository": "registry.test:5000/gpu", "digest": PINNED},
            "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        },
    }
    objects = render(values, Release(name="x", namespace="here"))
    [container] = pods(objects)["x-lepton-operator"]["containers"]
    assert container["args"] == ["run"]
    found = settings.read({entry["name"]: entry["value"] for entry in container["env"]})
    assert found == settings.Settings(
        namespace="here",
        watch_namespaces=("team-a", "team-b"),
        worker_image="registry.test/lepton-worker:2.0",
        worker_image_gpu=f"registry.test:5000/gpu@{PINNED}",
        image_pull_policy="Always",
        image_pull_secrets=("one", "two"),
        node_paths=True,
        log_level="DEBUG",
        log_format="json",
        metrics_service="x-lepton-metrics",
    )


def test_metrics_api_is_told_its_service_secret_and_port() -> None:
    objects = render(release=Release(name="x"))
    spec = pods(objects)["x-lepton-metrics"]
    found = settings.read(environment(spec))
    assert spec["containers"][0]["args"] == ["metrics"]
    service = only(objects, "Service")
    assert found.metrics_service == service["metadata"]["name"]
    assert found.metrics_secret == only(objects, "Secret")["metadata"]["name"]
    assert service["spec"]["ports"] == [{"name": "https", "port": 443, "targetPort": "https"}]
    ports = {port["name"]: port["containerPort"] for port in spec["containers"][0]["ports"]}
    assert ports == {"https": found.metrics_port, "health": found.health_port}


def test_images_take_the_version_of_the_chart_unless_told_otherwise() -> None:
    def image(**values: str) -> str:
        [container] = part(render({"image": values}), "operator")["containers"]
        return str(container["image"])

    assert image() == "registry.test/lepton-operator:0.1.0"
    assert image(tag="main") == "registry.test/lepton-operator:main"
    assert image(tag="main", digest=PINNED) == f"registry.test/lepton-operator@{PINNED}"


@pytest.mark.parametrize("name", PARTS)
def test_placement_and_extras_reach_the_pod(name: str) -> None:
    wanted: dict[str, Any] = {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    }
    more = {
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "proxy.test"}],
        "podLabels": {"team": "serving"},
        "podAnnotations": {"note": "kept"},
    }
    objects = render({name: {**wanted, **more}, "imagePullSecrets": [{"name": "pull"}]})
    template = only(objects, "Deployment", f"lepton-{name}")["spec"]["template"]
    assert {key: template["spec"][key] for key in wanted} == wanted
    assert template["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert environment(template["spec"])["HTTPS_PROXY"] == "proxy.test"
    assert template["metadata"]["labels"]["team"] == "serving"
    assert template["metadata"]["annotations"] == {"note": "kept"}


@pytest.mark.parametrize("name", PARTS)
def test_another_service_account_can_be_used(name: str) -> None:
    objects = render({name: {"serviceAccount": {"create": False, "name": "mine"}}})
    assert part(objects, name)["serviceAccountName"] == "mine"
    accounts = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    assert f"lepton-{name}" not in accounts
    subjects = {
        subject["name"]
        for item in objects
        if item["kind"] == "ClusterRoleBinding"
        for subject in item["subjects"]
    }
    assert "mine" in subjects
    assert f"lepton-{name}" not in subjects
