"""The source of a model as its worker sees it: what is mounted, and the path or address to read."""

import posixpath
from dataclasses import dataclass

from lepton_operator.api.names import MODEL_DIR
from lepton_operator.api.objects import Object

VOLUME = "model"


@dataclass(frozen=True)
class Source:
    """`location` is what the worker gets; `volume` is mounted read-only under MODEL_DIR."""

    location: str
    volume: Object | None = None
    claim: str | None = None
    """PersistentVolumeClaim of a `pvc://` source."""

    on_node: bool = False


def parse(source: str) -> Source:
    """Source from a spec's `source`, whose form the CRD's rules have checked."""
    scheme, _, rest = source.partition("://")
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        volume = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        return Source(_inside(path), {"name": VOLUME, **volume}, claim=claim)
    if scheme == "file":
        volume = {"hostPath": {"path": posixpath.normpath(rest)}}
        return Source(MODEL_DIR, {"name": VOLUME, **volume}, on_node=True)
    return Source(source)


def _inside(path: str) -> str:
    return posixpath.normpath(f"{MODEL_DIR}/{path.strip('/')}")
