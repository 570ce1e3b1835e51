"""The local cluster, driven from a process of its own: `python -m lepton_demo.local_child`.

Its building and starting is long and blocking; in a process of its own it can be ended at any
moment. What it does goes to standard error line by line, the result to standard output as JSON.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcluster import cluster, images, lifecycle
from localcluster.errors import LocalClusterError
from localcluster.paths import cache
from localcluster.plan import Options
from localcluster.progress import Progress

PUSHING = "pushing"


class Lines(Progress):
    """Progress for a program that reads: a line when a step begins."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.labels: list[str] = []

    def say(self, text: str) -> None:
        """Pass a line on."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Name a step."""
        self.labels.append(label)
        self.say(label)
        yield


def up(name: str) -> dict[str, object]:
    """Bring the cluster up unless it is; say how to reach it."""
    progress = Lines()
    reused = lifecycle.standing(cache().run(name)) is not None
    if reused:
        made = cluster.attach(name, progress=progress)
    else:
        made = cluster.create(name, Options(), progress=progress)
    folders = {str(made.tool(tool).parent): None for tool in ("kubectl", "helm", "grpcurl")}
    return {
        "kubeconfig": str(made.kubeconfig),
        "path": list(folders),
        "node": made.node_name,
        "reused": reused,
    }


def image(name: str, dockerfile: str, base: str) -> dict[str, object]:
    """Build one of our images, unless nothing changed, and bring it where the node pulls from."""
    progress = Lines()
    path = Path(dockerfile)
    made = images.build(
        path,
        name=path.name.replace("Dockerfile.", "lepton-"),
        base=base,
        context=path.parent,
        progress=progress,
    )
    reference = cluster.attach(name, progress=progress).push(made)
    pushed = any(label.startswith(PUSHING) for label in progress.labels)
    return {"reference": reference, "reused": not pushed}


def offer(name: str, claim: str, folder: str, namespace: str) -> dict[str, object]:
    """Offer a folder of this machine to the pods of a namespace."""
    made = cluster.attach(name, progress=Lines())
    for item in made.get("persistentvolumes")["items"]:
        # Kubernetes keeps a volume for a claim that is gone; a claim of the same name is another.
        if is_released(item, namespace, claim):
            made.kubectl("delete", "persistentvolume", item["metadata"]["name"])
    made.model_volume(claim, Path(folder), namespace)
    return {}


def is_released(volume: Mapping[str, Any], namespace: str, claim: str) -> bool:
    """Say whether a PersistentVolume belonged to a claim of this name that is gone."""
    owner = volume["spec"].get("claimRef", {})
    phase = volume.get("status", {}).get("phase")
    return phase == "Released" and (owner["namespace"], owner["name"]) == (namespace, claim)


COMMANDS: dict[str, Callable[..., dict[str, object]]] = {"up": up, "image": image, "volume": offer}


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit status."""
    command, *words = argv
    try:
        result = COMMANDS[command](*words)
    except LocalClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
