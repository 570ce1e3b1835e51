"""Children and pods as seen → conditions, phase and the whole status: values in, values out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lepton_operator.api.conditions import Condition, Reason, Type, merged
from lepton_operator.api.names import PORT_GRPC, Children
from lepton_operator.api.objects import Object
from lepton_operator.api.reasons import REASONS, Kind
from lepton_operator.status.availability import available
from lepton_operator.status.loading import model_ready
from lepton_operator.status.observe import Observed
from lepton_operator.status.progress import progressing
from lepton_operator.status.say import fine
from lepton_operator.status.scaling import scaling


@dataclass(frozen=True)
class Info:
    """What a worker said of itself."""

    task: str
    engine: Mapping[str, Any]
    """As in the status."""


def status_of(seen: Observed, info: Info | None) -> Object:
    """The whole status; what is not known is left out. Writing it is right at any time."""
    before: Mapping[str, Any] = seen.model.get("status") or {}
    generation = seen.model["metadata"].get("generation", 0)
    found = conditions(seen)
    rollout, autoscaler = seen.rollout, seen.autoscaler
    blamed = blame(found)
    status = {
        "observedGeneration": generation,
        "phase": phase(seen, found),
        "replicas": rollout.replicas if rollout else 0,
        "readyReplicas": rollout.ready if rollout else 0,
        "desiredReplicas": autoscaler.desired if autoscaler else None,
        "queueDepth": autoscaler.depth if autoscaler else None,
        "url": _url(seen),
        "reason": blamed.reason.value if blamed else None,
        **_info(info, before if before.get("observedGeneration") == generation else {}),
        "conditions": merged(before.get("conditions") or [], found, generation, _time(seen)),
    }
    return {key: value for key, value in status.items() if value is not None}


def conditions(seen: Observed) -> list[Condition]:
    """All conditions, Ready last."""
    valid = fine(Type.ACCEPTED, Reason.VALID, "the spec is valid and is carried out")
    found = [
        seen.refused or valid,
        model_ready(seen),
        available(seen),
        progressing(seen),
        scaling(seen),
    ]
    return [*found, ready(found)]


def ready(found: list[Condition]) -> Condition:
    """Whether the model answers as the spec asks for; scaling is not part of that."""
    culprit = blame([condition for condition in found if condition.type != Type.SCALING])
    if culprit is None:
        return fine(Type.READY, Reason.SERVING, "the model serves")
    return Condition(Type.READY, False, culprit.reason, culprit.message)


def blame(found: list[Condition]) -> Condition | None:
    """The first condition with something to mend, else the first that does not hold."""
    false = [condition for condition in found if condition.status is False]
    serious = (item for item in false if REASONS[item.reason].kind is not Kind.WAITING)
    return next(serious, None) or next(iter(false), None)


def phase(seen: Observed, found: list[Condition]) -> str:
    """The state in one word."""
    if seen.ready:
        return "Serving"
    failed = any(
        condition.status is False and REASONS[condition.reason].kind is Kind.FAILED
        for condition in found
        if condition.type != Type.SCALING
    )
    return "Failed" if failed else "Activating"


def _info(info: Info | None, before: Mapping[str, Any]) -> Object:
    if info is None:
        return {"task": before.get("task"), "engine": before.get("engine")}
    return {"task": info.task, "engine": dict(info.engine)}


def _url(seen: Observed) -> str:
    namespace = seen.model["metadata"]["namespace"]
    return f"{Children(seen.name).service}.{namespace}.svc:{PORT_GRPC}"


def _time(seen: Observed) -> str:
    return seen.now.strftime("%Y-%m-%dT%H:%M:%SZ")
