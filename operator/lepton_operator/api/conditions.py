"""Condition types and reasons of a LeptonModel, and how a condition follows another one.

A reason is the word a user sees in `kubectl describe`: it names the culprit. The table in
docs/failures.md is generated from `REASONS`.
"""

from dataclasses import dataclass
from enum import StrEnum


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


def merged(
    before: list[dict[str, object]], now: list[Condition], generation: int, time: str
) -> list[dict[str, object]]:
    """Conditions as they go into the status.

    `lastTransitionTime` moves only when a condition's status changes. `time` is RFC 3339 in UTC.
    """
    old = {entry.get("type"): entry for entry in before}
    result: list[dict[str, object]] = []
    for condition in now:
        status = {True: "True", False: "False", None: "Unknown"}[condition.status]
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
