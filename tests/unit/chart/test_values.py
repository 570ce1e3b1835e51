"""Values of the chart: what is refused; the schema knows them all, and so does the page."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lepton_testing.chart import (
    CHART,
    REQUIRED,
    ROOT,
    Refused,
    Release,
    render,
    rendered_text,
    run_helm,
)

IMAGES = (
    "--set=image.repository=registry.test/lepton-operator",
    "--set=worker.image.repository=registry.test/lepton-worker",
)
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"metrcs": {"enabled": False}}, "'metrcs' not allowed"),
        ({"metrics": {"replica": 1}}, "'replica' not allowed"),
        ({"metrics": {"replicas": 0}}, "/metrics/replicas"),
        ({"metrics": {"replicas": "2"}}, "/metrics/replicas"),
        ({"operator": {"replicas": 2}}, "'replicas' not allowed"),
        ({"watchNamespaces": "team-a"}, "/watchNamespaces"),
        ({"watchNamespaces": ["Team"]}, "/watchNamespaces/0"),
        ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces"),
        ({"log": {"level": "debug"}}, "/log/level"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"image": {"repository": "registry.test/image:tag"}}, "/image/repository"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"imagePullSecrets": ["name"]}, "/imagePullSecrets/0"),
        ({"crds": {"keep": "yes"}}, "/crds/keep"),
        ({"nodePaths": {"enabled": 1}}, "/nodePaths/enabled"),
        ({"operator": {"resources": {"requests": {"cpu": "much"}}}}, "/operator/resources"),
        ({"operator": {"extraEnv": {"A": "b"}}}, "/operator/extraEnv"),
        ({"operator": {"podLabels": {"a": 1}}}, "/operator/podLabels"),
        ({"podMonitor": {"interval": "often"}}, "/podMonitor/interval"),
        ({"fullnameOverride": "x" * 41}, "/fullnameOverride"),
        ({"metrics": {"tls": {"external": True}}}, "metrics.tls.secretName is empty"),
        ({"operator": {"serviceAccount": {"create": False}}}, "operator.serviceAccount.name"),
        ({"metrics": {"serviceAccount": {"create": False}}}, "metrics.serviceAccount.name"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        render(values)
    assert complaint in str(refused.value)


@pytest.mark.parametrize("missing", ["image.repository", "worker.image.repository"])
def test_a_missing_image_is_asked_for(missing: str) -> None:
    values = {key: value for key, value in REQUIRED.items() if not missing.startswith(key)}
    with pytest.raises(Refused, match=rf"{missing} is not set: .*--set {missing}="):
        rendered_text(values, Release())


def test_kubernetes_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refused, match=r">=1\.33\.0"):
        render(release=Release(kube_version="1.32.9"))


def leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Values that are no maps, and empty maps, with their dotted paths."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = SCHEMA["definitions"][reference] if reference else schema
    return found


def described(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of every property, down to where a schema names no further ones."""
    for key, below in resolved(schema).get("properties", {}).items():
        yield f"{path}{key}"
        yield from described(below, f"{path}{key}.")


def test_schema_knows_every_value() -> None:
    known = set(described(SCHEMA))
    free = ("operator.resources", "metrics.resources")
    for path, _ in leaves(VALUES):
        assert path in known or path.startswith(free), f"values.schema.json lacks {path}"


def test_schema_knows_nothing_that_is_no_value() -> None:
    free = ("resources", "affinity", "global")
    for path in described(SCHEMA):
        node: Any = VALUES
        for key in path.split("."):
            if key in free:
                break
            assert isinstance(node, dict)
            assert key in node, f"values.yaml lacks {path}"
            node = node[key]


def test_every_map_of_the_schema_says_what_it_takes() -> None:
    def maps(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "properties" in resolved(schema):
            yield resolved(schema)
            for below in resolved(schema)["properties"].values():
                yield from maps(below)

    found = list(maps(SCHEMA))
    assert len(found) > 10
    assert all(item["additionalProperties"] is False for item in found)


def test_table_of_values_is_what_make_generate_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "helm" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_value_is_on_the_page() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    missing = [
        path
        for path, _ in leaves(VALUES)
        if f"| `{path}` |" not in page
        and f"| `{path.split('.resources')[0]}.resources` |" not in page
    ]
    assert not missing


def test_lint_finds_nothing() -> None:
    told = run_helm("lint", "--strict", str(CHART), *IMAGES)
    assert "1 chart(s) linted, 0 chart(s) failed" in told


def notes(*flags: str) -> str:
    """What the user is told after an installation of release `demo` in namespace `here`."""
    where = ["--dry-run=client", "--namespace", "here"]
    told = run_helm("install", "demo", str(CHART), *where, *IMAGES, *flags)
    return told.partition("NOTES:")[2]


def test_notes_say_what_was_installed_and_what_to_do_next() -> None:
    told = notes()
    assert "of all namespaces" in told
    assert "helm test demo --namespace here" in told
    assert "not installed" not in told


def test_notes_say_what_was_left_out_and_what_was_opened() -> None:
    told = notes(
        "--set=watchNamespaces={team-a,team-b}",
        "--set=metrics.enabled=false",
        "--set=nodePaths.enabled=true",
    )
    assert "the namespaces team-a, team-b" in told
    assert "metrics API is not installed" in told
    assert "read folders of the nodes" in told
    assert "namespace: team-a" in told
