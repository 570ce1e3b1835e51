"""Lepton on a cluster, by its chart; and knowing what the demo made from what was there."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lepton_demo import advice, processes
from lepton_demo.errors import CommandFailed, NotReached, Refused
from lepton_demo.kubectl import Kubectl
from lepton_demo.options import Images
from lepton_demo.reading import Object, is_rolled_out
from lepton_demo.site import CHART, Note

NAME = "lepton"
MADE_BY = "installed by the demo"
LABEL, LABEL_VALUE = "lepton.ai/made-by", "demo"
API_SERVICE = "v1beta1.external.metrics.k8s.io"
ROLLOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Release:
    """Where Lepton is installed."""

    kubectl: Kubectl
    namespace: str

    def helm(self, *args: str) -> list[str]:
        """Return the command line of helm for this cluster and namespace."""
        context = self.kubectl.context
        chosen = ["--kube-context", context] if context else []
        return ["helm", *args, "--namespace", self.namespace, *chosen]


async def upgrade(release: Release, images: Images, note: Note) -> str:
    """Install the chart, or bring it up to date, and wait until its parts are ready."""
    note("helm upgrade --install")
    settings = [f"--set-string={name}={value}" for name, value in image_values(images).items()]
    argv = release.helm("upgrade", "--install", NAME, str(CHART), *settings)
    argv += ["--description", MADE_BY]
    await processes.run(argv, environ=release.kubectl.environ)
    await _rolled_out(release, note)
    return f"release {NAME} in {release.namespace}"


async def _rolled_out(release: Release, note: Note) -> None:
    """Wait until the installed Deployments are up; says meanwhile what their pods say."""
    where = ("-n", release.namespace, "-l", f"app.kubernetes.io/instance={NAME}")
    now = asyncio.get_running_loop().time
    end = now() + ROLLOUT_SECONDS
    while True:
        found = (await release.kubectl.json("deployments,pods", *where))["items"]
        deployments = [item for item in found if item["kind"] == "Deployment"]
        open_ones = [item for item in deployments if not is_rolled_out(item)]
        if deployments and not open_ones:
            return
        said = advice.complaints([item for item in found if item["kind"] == "Pod"])
        note("; ".join(["pods become ready", *said]))
        if now() > end:
            names = [item["metadata"]["name"] for item in open_ones]
            what = f"Not up after {ROLLOUT_SECONDS:.0f} s: {', '.join(names)}"
            raise NotReached("\n  ".join([what, *said]), _look(names, release.namespace))
        await asyncio.sleep(1.0)


def _look(names: Sequence[str], namespace: str) -> list[str]:
    logs = [f"kubectl -n {namespace} logs deployment/{name}" for name in names]
    return [f"kubectl -n {namespace} get pods", *logs]


def image_values(images: Images) -> Mapping[str, str]:
    """Values of the chart for these images."""
    operator, worker = split(images.operator), split(images.worker)
    return {
        "image.repository": operator[0],
        "image.tag": operator[1],
        "worker.image.repository": worker[0],
        "worker.image.tag": worker[1],
    }


def split(reference: str) -> tuple[str, str]:
    """Cut `registry:5000/name:tag` into repository and tag; raises Refused without a tag."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        raise Refused(f"{reference} has no tag; name an image as REPOSITORY:TAG")
    return repository, tag


async def ours(release: Release) -> bool:
    """Say whether the release exists and was made by the demo."""
    argv = release.helm("status", NAME, "--output", "json")
    try:
        found = json.loads(await processes.run(argv, environ=release.kubectl.environ))
    except CommandFailed:
        return False
    return bool(found["info"].get("description") == MADE_BY)


async def serving_namespace(kubectl: Kubectl) -> str | None:
    """Return the namespace in which Lepton's metrics API runs; None when it is not installed.

    Raises Refused when the group belongs to another program: only one can serve it.
    """
    found = await kubectl.run("get", "apiservice", API_SERVICE, "--ignore-not-found", "-o", "json")
    if not found.strip():
        return None
    registered: Object = json.loads(found)
    service = registered["spec"].get("service") or {}
    if registered["metadata"].get("labels", {}).get("app.kubernetes.io/name") != NAME:
        raise Refused(
            f"The cluster's external metrics are served by {service.get('namespace')}/"
            f"{service.get('name')} (APIService {API_SERVICE}), and only one program can serve "
            "them; use a cluster without it"
        )
    return str(service["namespace"])


async def ensure_namespace(kubectl: Kubectl, name: str) -> None:
    """Make a namespace unless it exists; one that is made carries the mark of the demo."""
    if await kubectl.exists("namespace", name):
        return
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {LABEL: LABEL_VALUE}},
    }
    await kubectl.run("create", "-f", "-", stdin=json.dumps(manifest))


async def is_marked(kubectl: Kubectl, namespace: str) -> bool:
    """Say whether a namespace exists and was made by the demo."""
    marked = ("namespace", "-l", f"{LABEL}={LABEL_VALUE}", "--field-selector")
    return await kubectl.exists(*marked, f"metadata.name={namespace}")
