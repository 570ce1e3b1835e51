"""Objects of the chart: names, definition, registration, and what switches add or remove."""

import json
from collections import Counter
from typing import Any

import pytest
import yaml

from lepton_testing.chart import METRICS_API, ROOT, Refused, Release, only, render

PROMETHEUS = Release(apis=("monitoring.coreos.com/v1/PodMonitor",))
EVERYTHING: dict[str, Any] = {
    "watchNamespaces": ["team-a"],
    "podMonitor": {"enabled": True},
    "networkPolicy": {"enabled": True},
}
LONG = Release(
    name="release-" + "n" * 45, namespace="s" * 63, kube_version="1.33.0", apis=PROMETHEUS.apis
)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_names_and_labels_fit_however_long_the_release_is_named(values: dict[str, Any]) -> None:
    for item in render(values, LONG):
        meta = item["metadata"]
        if item["kind"] not in ("CustomResourceDefinition", "APIService"):
            assert len(meta["name"]) <= 63
        template = item["spec"].get("template", {}) if "spec" in item else {}
        for labels in (meta.get("labels", {}), template.get("metadata", {}).get("labels", {})):
            assert all(len(value) <= 63 for value in labels.values())


@pytest.mark.parametrize("release", [Release(apis=PROMETHEUS.apis), LONG], ids=["short", "long"])
def test_no_two_objects_have_the_same_name(release: Release) -> None:
    names = Counter(
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
        for item in render(EVERYTHING, release)
    )
    assert not [name for name, count in names.items() if count > 1]


def test_selectors_do_not_meet_those_of_other_parts() -> None:
    objects = render()
    selectors = [
        json.dumps(item["spec"]["selector"]["matchLabels"], sort_keys=True)
        for item in objects
        if item["kind"] == "Deployment"
    ]
    assert len(set(selectors)) == len(selectors) == 2


def test_objects_are_named_by_the_release_or_the_override() -> None:
    def operator(values: dict[str, Any], name: str) -> set[str]:
        objects = render(values, Release(name=name))
        return {item["metadata"]["name"] for item in objects if item["kind"] == "Deployment"}

    assert operator({}, "lepton") == {"lepton-operator", "lepton-metrics"}
    assert operator({}, "prod") == {"prod-lepton-operator", "prod-lepton-metrics"}
    assert operator({"fullnameOverride": "x"}, "prod") == {"x-operator", "x-metrics"}


def definition(**crds: bool) -> dict[str, Any]:
    return only(render({"crds": crds}), "CustomResourceDefinition")


def test_definition_is_the_generated_one() -> None:
    [source] = sorted((ROOT / "crds").glob("*.yaml"))
    assert definition(keep=False) == yaml.safe_load(source.read_text(encoding="utf-8"))


def test_definition_is_kept_unless_told_otherwise() -> None:
    kept, dropped = definition(), definition(keep=False)
    assert kept["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert kept == dropped


def test_definition_can_be_left_to_somebody_else() -> None:
    kinds = {item["kind"] for item in render({"crds": {"install": False}})}
    assert "CustomResourceDefinition" not in kinds


def test_registration_leaves_authority_and_certificate_to_the_metrics_api() -> None:
    objects = render()
    spec = only(objects, "APIService", METRICS_API)["spec"]
    assert not {"caBundle", "insecureSkipTLSVerify"} & set(spec)
    service = only(objects, "Service")["metadata"]
    assert spec["service"] == {
        "name": service["name"],
        "namespace": service["namespace"],
        "port": 443,
    }
    assert not {"data", "stringData"} & set(only(objects, "Secret"))


def test_a_certificate_of_somebody_else_is_not_created() -> None:
    values = {"metrics": {"tls": {"external": True, "secretName": "certificate"}}}
    assert "Secret" not in {item["kind"] for item in render(values)}


def test_without_metrics_nothing_of_them_is_left() -> None:
    objects = render({**EVERYTHING, "metrics": {"enabled": False}}, PROMETHEUS)
    assert not [item for item in objects if "metrics" in item["metadata"]["name"]]
    [container] = only(objects, "Pod")["spec"]["containers"]
    assert container["args"] == ["/apis/lepton.ai/v1alpha1=leptonmodels"]


def test_monitors_need_the_prometheus_operator() -> None:
    with pytest.raises(Refused, match=r"podMonitor\.enabled=false"):
        render({"podMonitor": {"enabled": True}})
    monitors = [
        item
        for item in render({"podMonitor": {"enabled": True, "labels": {"a": "b"}}}, PROMETHEUS)
        if item["kind"] == "PodMonitor"
    ]
    assert len(monitors) == 2
    assert all(item["metadata"]["labels"]["a"] == "b" for item in monitors)


def test_workers_are_scraped_where_they_may_run() -> None:
    def where(values: dict[str, Any]) -> Any:
        objects = render({**values, "podMonitor": {"enabled": True}}, PROMETHEUS)
        return only(objects, "PodMonitor", "lepton-workers")["spec"]["namespaceSelector"]

    assert where({}) == {"any": True}
    assert where({"watchNamespaces": ["team-a"]}) == {"matchNames": ["team-a"]}


def test_network_policies_open_the_ports_that_are_used() -> None:
    objects = render({"networkPolicy": {"enabled": True}})
    for part, ports in (("operator", {"health"}), ("metrics", {"https", "health"})):
        spec = only(objects, "NetworkPolicy", f"lepton-{part}")["spec"]
        deployment = only(objects, "Deployment", f"lepton-{part}")["spec"]
        assert spec["podSelector"] == deployment["selector"]
        assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == ports


def test_the_test_asks_with_an_account_without_rights() -> None:
    objects = render()
    pod = only(objects, "Pod")
    account = pod["spec"]["serviceAccountName"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    subjects = {subject["name"] for item in objects for subject in item.get("subjects", [])}
    assert account not in subjects
    compile(pod["spec"]["containers"][0]["command"][2], "check.py", "exec")
