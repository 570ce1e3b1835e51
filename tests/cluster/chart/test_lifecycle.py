"""The chart on a real API server: accepted, installed, upgraded, and gone without a trace."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_testing.chart import CHART, METRICS_API, Refused, render
from lepton_testing.chart import Release as Place
from localcluster.cluster import Cluster

from .conftest import DEFINITION, Release

pytestmark = pytest.mark.cluster

# What the cluster itself writes and drops at any time.
RESTLESS = ("events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses")

VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": {"watchNamespaces": ["default", "kube-public"]},
    "without-metrics": {"metrics": {"enabled": False}},
    "own-certificate": {"metrics": {"tls": {"external": True, "secretName": "certificate"}}},
    "everything": {
        "networkPolicy": {"enabled": True},
        "imagePullSecrets": [{"name": "pull"}],
        "operator": {"priorityClassName": "system-cluster-critical", "nodeSelector": {"a": "b"}},
        "metrics": {"tolerations": [{"operator": "Exists"}], "extraEnv": [{"name": "A"}]},
        "worker": {"imagePullSecrets": [{"name": "pull"}]},
    },
}


def everything(cluster: Cluster) -> set[str]:
    """Names of all objects, but for what comes and goes by itself."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    asked = ",".join(kind for kind in kinds if kind not in RESTLESS)
    listed = cluster.kubectl("get", asked, "--all-namespaces", "-o", "json").stdout
    return {
        f"{item['apiVersion']} {item['kind']} {item['metadata'].get('namespace', '')}/"
        f"{item['metadata']['name']}"
        for item in json.loads(listed)["items"]
    }


def model(**spec: Any) -> str:
    """A LeptonModel as JSON."""
    head = {"apiVersion": "lepton.ai/v1alpha1", "kind": "LeptonModel", "metadata": {"name": "m"}}
    return json.dumps({**head, "spec": {"source": "hf://organisation/model", **spec}})


def create(cluster: Cluster, namespace: str, manifest: str) -> str:
    """Create an object, unknown fields refused; return what kubectl complained of."""
    flags = ["--validate=strict", "-n", namespace, "-f", "-"]
    return cluster.kubectl("create", *flags, input=manifest, check=False).stderr.strip()


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_api_server_accepts_every_object_without_a_warning(
    plane: Cluster, space: Callable[[], str], values: dict[str, Any]
) -> None:
    namespace = space()
    plane.kubectl("create", "serviceaccount", "lepton-test", "-n", namespace)
    objects = json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": render(values, Place(namespace=namespace))}
    )
    flags = ["--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"]
    for method in ("--server-side=true", "--server-side=false"):
        plane.kubectl("apply", method, *flags, input=objects)


def test_an_installed_chart_serves_the_api(release: Release) -> None:
    release.install()
    release.await_definition()
    explained = release.cluster.kubectl("explain", "leptonmodels.spec.scaling").stdout
    assert "minReplicas" in explained
    assert create(release.cluster, release.namespace, model()) == ""


def test_an_upgrade_brings_the_definition_of_the_new_chart(
    release_by: Release, tmp_path: Path
) -> None:
    cluster, namespace = release_by.cluster, release_by.namespace
    release_by.install()
    release_by.await_definition()
    assert 'unknown field "spec.colour"' in create(cluster, namespace, model(colour="blue"))

    chart = shutil.copytree(CHART, tmp_path / "lepton")
    [definition] = (chart / "files" / "crds").glob("*.yaml")
    text = definition.read_text(encoding="utf-8")
    source = "              source:\n"
    assert text.count(source) == 1
    field = "              colour:\n                type: string\n"
    definition.write_text(text.replace(source, field + source), encoding="utf-8")
    release_by.upgrade(chart=chart)

    def kept() -> bool:
        complaint = create(cluster, namespace, model(colour="blue"))
        assert complaint == "", complaint
        spec = cluster.get("leptonmodels", "m", "-n", namespace)["spec"]
        return bool(spec["colour"] == "blue")

    assert cluster.eventually(kept, "the new field to be served")


def test_an_upgrade_leaves_certificate_and_authority_alone(release_by: Release) -> None:
    cluster, namespace = release_by.cluster, release_by.namespace
    release_by.install()
    own = cluster.get("configmap", "kube-root-ca.crt", "-n", namespace)["data"]["ca.crt"]
    authority = base64.b64encode(own.encode()).decode()
    written = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": METRICS_API},
        "spec": {"caBundle": authority},
    }
    cluster.kubectl(
        "apply", "--server-side", "--field-manager=lepton-metrics", "-f", "-",
        input=json.dumps(written),
    )  # fmt: skip
    filled = json.dumps({"data": {"tls.crt": authority}})
    secret = ["secret", "lepton-metrics-tls", "-n", namespace]
    cluster.kubectl("patch", *secret, "--type=merge", f"--patch={filled}")

    release_by.upgrade({"log": {"level": "DEBUG"}})
    release_by.upgrade({"log": {"level": "INFO"}})

    assert cluster.get("apiservice", METRICS_API)["spec"]["caBundle"] == authority
    assert cluster.get(*secret)["data"] == {"tls.crt": authority}


def test_switching_the_metrics_api_off_takes_its_registration_away(release_by: Release) -> None:
    cluster = release_by.cluster
    release_by.install()
    assert METRICS_API in cluster.kubectl("get", "apiservices", "-o", "name").stdout
    release_by.upgrade({"metrics": {"enabled": False}})
    assert METRICS_API not in cluster.kubectl("get", "apiservices", "-o", "name").stdout
    release_by.upgrade()
    assert METRICS_API in cluster.kubectl("get", "apiservices", "-o", "name").stdout


@pytest.mark.parametrize("keep", [True, False], ids=["definition-kept", "definition-dropped"])
def test_uninstalling_leaves_the_cluster_as_it_was(
    plane: Cluster, space: Callable[[], str], release: Release, keep: bool
) -> None:
    before = everything(plane)
    release.install({"crds": {"keep": keep}, "watchNamespaces": ["default"]})
    release.uninstall()
    crd = ("get", "crd", DEFINITION, "--ignore-not-found", "-o", "json")
    if not keep and (found := plane.kubectl(*crd).stdout):
        assert json.loads(found)["metadata"]["deletionTimestamp"]
        release.drop_definition()
    left = {
        f"apiextensions.k8s.io/v1 CustomResourceDefinition /{DEFINITION}",
        "apiregistration.k8s.io/v1 APIService /v1alpha1.lepton.ai",
    }

    def as_before() -> bool:
        assert everything(plane) - before == (left if keep else set())
        return True

    plane.eventually(as_before, "only what is kept to be left")
    # A registration without a server would block this.
    plane.kubectl("delete", "namespace", space(), "--timeout=30s")


def test_models_and_definition_outlive_a_release_and_are_taken_over_by_the_next(
    plane: Cluster, space: Callable[[], str], release: Release
) -> None:
    elsewhere = space()
    release.install()
    release.await_definition()
    assert create(plane, elsewhere, model()) == ""
    release.uninstall()
    assert plane.get("leptonmodels", "m", "-n", elsewhere)["spec"]["source"]

    release.install()
    release.uninstall()
    other = Release(plane, elsewhere, name="other")
    with pytest.raises(Refused, match="invalid ownership metadata"):
        other.install()
    other.install(None, "--take-ownership")
    try:
        assert plane.get("leptonmodels", "m", "-n", elsewhere)["spec"]["source"]
    finally:
        other.uninstall()


def foreign_registration(owner: str) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": METRICS_API},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "keda-metrics", "namespace": owner},
        },
    }


def test_a_metrics_api_of_somebody_else_is_named_and_left_alone(release: Release) -> None:
    cluster = release.cluster
    cluster.apply(foreign_registration("keda"))
    try:
        with pytest.raises(Refused) as refused:
            release.install()
        assert "Service keda-metrics in namespace keda" in str(refused.value)
        assert "metrics.enabled=false" in str(refused.value)

        release.install({"metrics": {"enabled": False}})
        release.uninstall()
        spec = cluster.get("apiservice", METRICS_API)["spec"]
        assert spec["service"]["name"] == "keda-metrics"
    finally:
        cluster.kubectl("delete", "apiservice", METRICS_API)


def test_a_second_installation_is_told_which_release_serves_the_metrics_api(
    release: Release, space: Callable[[], str]
) -> None:
    release.install()
    second = Release(release.cluster, space(), name="second")
    with pytest.raises(Refused, match=f"release lepton in namespace {release.namespace}"):
        second.install({"crds": {"install": False}})
