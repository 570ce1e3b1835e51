"""Condition types and reasons of a LeptonModel, and how a condition follows another one.

A reason is the word a user sees in `kubectl describe`: it names the culprit. The table in
docs/failures.md is generated from `REASONS` in reasons.py, which says what each of them means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Type(StrEnum):
    """Condition types, from the spec towards the answer."""

    ACCEPTED = "Accepted"
    MODEL_READY = "ModelReady"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    SCALING = "Scaling"
    READY = "Ready"


class Reason(StrEnum):
    """Every reason that a condition of ours can carry."""

    # Accepted
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    SOURCE_NOT_ALLOWED = "SourceNotAllowed"
    # ModelReady: the worker's own words, read from its termination message
    LOADED = "Loaded"
    LOADING = "Loading"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    WEIGHTS_MISSING = "WeightsMissing"
    WEIGHTS_CORRUPT = "WeightsCorrupt"
    TASK_NOT_SUPPORTED = "TaskNotSupported"
    INVALID_SETTING = "InvalidSetting"
    OUT_OF_MEMORY = "OutOfMemory"
    CRASH_LOOP = "CrashLoop"
    # Available: what keeps pods from running
    WORKERS_READY = "WorkersReady"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL = "ImagePull"
    CONTAINER_CONFIG = "ContainerConfig"
    POD_REJECTED = "PodRejected"
    NOT_STARTED = "NotStarted"
    STOPPED = "Stopped"
    # Progressing
    ROLLED_OUT = "RolledOut"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_STUCK = "RolloutStuck"
    # Scaling
    SCALING_ACTIVE = "ScalingActive"
    NOT_YET_SCALED = "NotYetScaled"
    METRICS_API_UNAVAILABLE = "MetricsAPIUnavailable"
    METRIC_UNAVAILABLE = "MetricUnavailable"
    CANNOT_SCALE = "CannotScale"
    FOREIGN_AUTOSCALER = "ForeignAutoscaler"
    # Ready takes the reason of the condition that is to blame, or:
    SERVING = "Serving"


@dataclass(frozen=True)
class Condition:
    """One condition, before it has a time; `status` None is Kubernetes' `Unknown`."""

    type: Type
    status: bool | None
    reason: Reason
    message: str


STATUS = {True: "True", False: "False", None: "Unknown"}


def merged(
    before: Sequence[Mapping[str, Any]], now: Sequence[Condition], generation: int, time: str
) -> list[dict[str, Any]]:
    """Conditions as they go into the status.

    `lastTransitionTime` moves only when a condition's status changes. `time` is RFC 3339 in UTC.
    """
    old = {entry.get("type"): entry for entry in before}
    result: list[dict[str, Any]] = []
    for condition in now:
        status = STATUS[condition.status]
        last = old.get(condition.type.value, {})
        since = last.get("lastTransitionTime", time) if last.get("status") == status else time
        result.append(
            {
                "type": condition.type.value,
                "status": status,
                "reason": condition.reason.value,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return result
