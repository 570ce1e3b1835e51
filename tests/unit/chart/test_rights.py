"""Roles of the chart: exactly what is documented, no wildcard, a reason with each verb."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_testing.chart import CHART, METRICS_API, ROOT, Manifest, Release, Right, render, rights

REFERENCE = ROOT / "docs" / "reference"
CELL = re.compile(r"`([^`]*)`")
ROLES = {"Role", "ClusterRole"}
BINDINGS = {"RoleBinding", "ClusterRoleBinding"}


def table(page: Path, heading: str) -> Iterator[list[str]]:
    """Cells of the rows of the page's table whose heading starts so."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(heading):
            next(lines)
            break
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def documented(place: str, objects: str, names: str, verbs: str) -> set[Right]:
    """Rights of one row, read from its cells."""
    group, *resources = CELL.findall(objects)
    name = "" if names.startswith("all") else CELL.findall(names)[0]
    return {
        Right(place, group.strip('"'), resource, name, verb)
        for resource in resources
        for verb in CELL.findall(verbs)
    }


def documented_for_operator() -> set[Right]:
    rows = table(REFERENCE / "rbac.md", "| group, resource")
    return {right for row in rows for right in documented("cluster", *row[:3])}


def documented_for_metrics() -> set[Right]:
    places = {"`kube-system`": "kube-system", "`<namespace>`": "lepton-system"}
    result: set[Right] = set()
    for where, objects, names, verbs, _why in table(REFERENCE / "rbac-metrics.md", "| where"):
        result |= documented(places.get(where, "cluster"), objects, names, verbs)
    return {
        Right(right.place, right.group, right.resource, "lepton-metrics-tls", right.verb)
        if right.name == "<secret>"
        else right
        for right in result
    }


def test_operator_has_exactly_the_documented_rights() -> None:
    wanted = documented_for_operator()
    assert len(wanted) > 30
    assert rights(render(), "lepton-operator") == wanted


def test_metrics_api_has_exactly_the_documented_rights() -> None:
    wanted = documented_for_metrics()
    # The chart creates the Secret, and the ConfigMap is read by Kubernetes' own Role.
    wanted -= {Right("lepton-system", "", "secrets", "", "create")}
    wanted = {right for right in wanted if right.place != "kube-system"}
    assert len(wanted) == 9
    assert rights(render(), "lepton-metrics") == wanted


def test_front_proxy_settings_are_read_by_the_role_kubernetes_has_for_it() -> None:
    [binding] = [item for item in render() if item["metadata"].get("namespace") == "kube-system"]
    assert binding["kind"] == "RoleBinding"
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["roleRef"]["name"] == "extension-apiserver-authentication-reader"
    assert [subject["name"] for subject in binding["subjects"]] == ["lepton-metrics"]


def test_own_certificates_are_not_written_when_somebody_else_keeps_them() -> None:
    values = {"metrics": {"tls": {"external": True, "secretName": "certificate"}}}
    on_secrets = {
        (right.name, right.verb)
        for right in rights(render(values), "lepton-metrics")
        if right.resource == "secrets"
    }
    assert on_secrets == {("certificate", "list"), ("certificate", "watch")}


@pytest.mark.parametrize(("version", "bound"), [("1.33.4", True), ("1.34.0", False)])
def test_autoscaler_may_read_the_metric_where_kubernetes_does_not_see_to_it(
    version: str, bound: bool
) -> None:
    objects = render(release=Release(kube_version=version))
    found = rights(objects, "horizontal-pod-autoscaler")
    reads = {
        Right("cluster", "external.metrics.k8s.io", "lepton_queue_depth", "", verb)
        for verb in ("get", "list")
    }
    assert found == (reads if bound else set())


NAMESPACED = {"watchNamespaces": ["team-a", "team-b"]}
NO_METRICS = {"metrics": {"enabled": False}}


def test_in_namespaced_mode_only_the_apiservice_is_reached_cluster_wide() -> None:
    objects = render(NAMESPACED)
    for account in ("lepton-operator", "lepton-metrics"):
        cluster_wide = {right for right in rights(objects, account) if right.place == "cluster"}
        assert {(right.resource, right.name) for right in cluster_wide} == {
            ("apiservices", METRICS_API)
        }


@pytest.mark.parametrize("account", ["lepton-operator", "lepton-metrics"])
def test_in_namespaced_mode_each_namespace_gets_what_the_cluster_had(account: str) -> None:
    def in_place(objects: list[Manifest], place: str) -> set[tuple[str, str, str]]:
        return {
            (right.group, right.resource, right.verb)
            for right in rights(objects, account)
            if right.place == place and right.resource != "apiservices"
        }

    everywhere = in_place(render(), "cluster")
    assert everywhere
    for namespace in ("team-a", "team-b"):
        assert in_place(render(NAMESPACED), namespace) == everywhere


def test_namespaced_mode_without_metrics_binds_nothing_cluster_wide() -> None:
    kinds = {item["kind"] for item in render({**NAMESPACED, **NO_METRICS})}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "APIService"}
    assert {"Role", "RoleBinding"} <= kinds


def test_namespaced_mode_without_definition_and_metrics_is_namespaced_altogether() -> None:
    objects = render({**NAMESPACED, **NO_METRICS, "crds": {"install": False}})
    assert all("namespace" in item["metadata"] for item in objects)


def test_no_rule_has_a_wildcard() -> None:
    for values in ({}, NAMESPACED, NO_METRICS):
        roles = [item for item in render(values) if item["kind"] in ROLES]
        assert roles
        for role in roles:
            for rule in role["rules"]:
                assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
                assert not [word for words in rule.values() for word in words if "*" in word]


def test_every_role_is_bound_and_every_binding_has_its_role() -> None:
    objects = render(release=Release(kube_version="1.33.0"))
    roles = {(item["kind"], item["metadata"]["name"]) for item in objects if item["kind"] in ROLES}
    bound = {
        (item["roleRef"]["kind"], item["roleRef"]["name"])
        for item in objects
        if item["kind"] in BINDINGS
    }
    assert bound - roles == {("Role", "extension-apiserver-authentication-reader")}
    assert roles <= bound


def test_each_verb_says_why_it_is_needed() -> None:
    verbs = []
    for template in sorted(CHART.glob("templates/*/rbac.yaml")):
        inside = False
        for line in template.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("verbs:"):
                inside = True
                assert "[" not in line, f"{template.name}: one verb a line: {line}"
            elif inside and line.strip().startswith("- ") and "apiGroups" not in line:
                verbs.append(line)
                assert re.fullmatch(r"\s+- [a-z]+ +# \S.*", line), f"no reason: {line}"
            elif not line.strip().startswith("{{"):
                inside = False
    assert len(verbs) > 20
