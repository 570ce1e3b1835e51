"""Whether the APIService is ours, and which authorities it shall name."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lepton_operator.api.names import METRICS_GROUP, METRICS_VERSION

API_SERVICE = f"{METRICS_VERSION}.{METRICS_GROUP}"
FIELD_MANAGER = "lepton-metrics"


class State(Enum):
    """Whose the group version is."""

    ABSENT = "absent"
    OURS = "ours"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Registration:
    """An APIService as seen; `bundle` is PEM."""

    state: State
    message: str
    bundle: bytes = b""


def registration(
    api_service: Mapping[str, Any] | None, service: str, namespace: str
) -> Registration:
    """Judge the APIService of our group version by the Service that it sends callers to."""
    if api_service is None:
        return Registration(
            State.ABSENT,
            f"APIService {API_SERVICE} does not exist: the HPA cannot find this process",
        )
    spec = api_service.get("spec") or {}
    target = spec.get("service") or {}
    found = (target.get("namespace"), target.get("name"))
    if found == (namespace, service):
        return Registration(State.OURS, f"APIService {API_SERVICE} is ours", _decoded(spec))
    owner = "the API server itself" if not target else f"Service {found[0]}/{found[1]}"
    return Registration(
        State.FOREIGN,
        f"MetricsAPIConflict: APIService {API_SERVICE} belongs to {owner}, not to Service "
        f"{namespace}/{service}; a cluster has one external metrics API: remove the other one, or "
        f"use it instead of this one",
    )


def with_bundle(api_service: Mapping[str, Any], bundle: bytes) -> dict[str, Any]:
    """What to apply: the one field that is ours, on exactly the object that was judged."""
    metadata = api_service["metadata"]
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "spec": {"caBundle": base64.b64encode(bundle).decode()},
    }


def _decoded(spec: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(spec.get("caBundle") or "")
    except (binascii.Error, ValueError):
        return b""
