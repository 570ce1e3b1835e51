"""Lepton on a cluster: images built from this tree, the chart installed and removed."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lepton_testing.installation import Installation
from localcluster import images
from localcluster.cluster import Cluster

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "lepton"
RELEASE = "lepton"


@dataclass(frozen=True)
class Images:
    """References of both images, as pods of the cluster name them."""

    operator: str
    worker: str


def build(cluster: Cluster) -> Images:
    """Build both images and bring them into the cluster's registry; quick when nothing changed."""
    made = {
        name: images.build(
            ROOT / f"Dockerfile.{name}", name=f"lepton-{name}", base=base, context=ROOT
        )
        for name, base in (("operator", "base"), ("worker", "base-torch"))
    }
    return Images(cluster.push(made["operator"]), cluster.push(made["worker"]))


def install(installation: Installation, built: Images) -> None:
    """Install or upgrade the chart and wait until all its parts answer."""
    operator, worker = built.operator.rpartition(":"), built.worker.rpartition(":")
    values = {
        "image.repository": operator[0],
        "image.tag": operator[2],
        "worker.image.repository": worker[0],
        "worker.image.tag": worker[2],
        "nodePaths.enabled": "true",
        "crds.keep": "false",
    }
    flags = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    where = ["--namespace", installation.namespace, "--create-namespace"]
    helm(installation.cluster, "upgrade", "--install", RELEASE, str(CHART), *where, *flags)
    await_parts(installation)


def await_parts(installation: Installation) -> None:
    """Wait until the operator and the metrics API are there, the latter through the API server."""
    cluster = installation.cluster
    for name in ("lepton-operator", "lepton-metrics"):
        cluster.wait(
            f"deployment/{name}", "Available", namespace=installation.namespace, timeout=180
        )
    cluster.wait("apiservice/v1beta1.external.metrics.k8s.io", "Available", timeout=60)


def uninstall(installation: Installation) -> None:
    """Remove the release and its namespace."""
    helm(
        installation.cluster,
        "uninstall",
        RELEASE,
        "--namespace",
        installation.namespace,
        "--wait",
        "--timeout=2m",
    )
    installation.cluster.kubectl("delete", "namespace", installation.namespace, "--wait=true")


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run helm against the cluster; a failure carries what helm said."""
    done = subprocess.run(
        [str(cluster.tool("helm")), *arguments],
        env=cluster.env(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
