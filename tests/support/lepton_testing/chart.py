"""The Helm chart as tests see it: rendered to objects, and what its rights add up to."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from localcluster import paths
from localcluster.binaries import HELM, Binaries
from localcluster.progress import Progress

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "lepton"
METRICS_API = "v1beta1.external.metrics.k8s.io"
REQUIRED = {
    "image": {"repository": "registry.test/lepton-operator"},
    "worker": {"image": {"repository": "registry.test/lepton-worker"}},
}

Manifest = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Release:
    """Where and on what kind of cluster the chart is rendered."""

    name: str = "lepton"
    namespace: str = "lepton-system"
    kube_version: str = "1.35.0"
    apis: tuple[str, ...] = ()


class Refused(Exception):
    """Helm did not do it; the message is what it said."""


@cache
def helm() -> Path:
    """The helm binary, built from its module on a machine that has none."""
    return Binaries(paths.cache(), Progress()).ensure(HELM)["helm"]


def merged(below: Values, above: Values) -> dict[str, Any]:
    """Values with others laid over them, maps into maps, as Helm does."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            result[key] = merged(under, value)
        else:
            result[key] = value
    return result


def render(values: Values | None = None, release: Release | None = None) -> list[Manifest]:
    """Objects of the chart, hooks included, with the required values set. Raises Refused."""
    text = rendered_text(merged(REQUIRED, values or {}), release or Release())
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def rendered_text(values: Values, release: Release) -> str:
    """What `helm template` writes for exactly these values. Raises Refused."""
    return _rendered(yaml.safe_dump(dict(values)), release)


@cache
def _rendered(values: str, release: Release) -> str:
    where = ["--namespace", release.namespace, "--kube-version", release.kube_version]
    apis = [flag for api in release.apis for flag in ("--api-versions", api)]
    flags = [*where, *apis, "--values", "-"]
    return run_helm("template", release.name, str(CHART), *flags, input_text=values)


def run_helm(
    *arguments: str, input_text: str | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run helm to its end and return what it wrote. Raises Refused with what it complained of."""
    done = subprocess.run(
        [str(helm()), *arguments],
        input=input_text,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def only(objects: Iterable[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of a kind, or of a kind and name."""
    found = [
        item
        for item in objects
        if item["kind"] == kind and name in (None, item["metadata"]["name"])
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource; `place` is a namespace or `cluster`, `name` empty for all names."""

    place: str
    group: str
    resource: str
    name: str
    verb: str


def rights(objects: Sequence[Manifest], account: str) -> set[Right]:
    """What a ServiceAccount may do by the Roles among the objects that are bound to it."""
    result: set[Right] = set()
    for binding in objects:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding") and account in {
            subject["name"] for subject in binding["subjects"]
        }:
            place = binding["metadata"].get("namespace", "cluster")
            for role in _roles(objects, binding):
                result.update(_granted(role, place))
    return result


def _roles(objects: Sequence[Manifest], binding: Manifest) -> Iterator[Manifest]:
    kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
    for item in objects:
        same_place = item["metadata"].get("namespace") == binding["metadata"].get("namespace")
        if (item["kind"], item["metadata"]["name"]) == (kind, name) and same_place:
            yield item


def _granted(role: Manifest, place: str) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield Right(place, group, resource, name, verb)
