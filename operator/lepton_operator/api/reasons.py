"""What each reason means, how bad it is, and what mends it: the source of docs/failures.md."""

from dataclasses import dataclass
from enum import Enum

from lepton_operator.api.conditions import Reason, Type


class Kind(Enum):
    """How bad it is."""

    FINE = "fine"
    """As it should be."""

    WAITING = "waiting"
    """Not there yet; nothing to do but wait."""

    BLOCKED = "blocked"
    """Waits for something outside the model, which may come by itself: a node, a metric."""

    FAILED = "failed"
    """Somebody has to mend something."""


@dataclass(frozen=True)
class Meaning:
    """One row of the table."""

    types: tuple[Type, ...]
    kind: Kind
    text: str
    remedy: str = ""


_ACCEPTED = (Type.ACCEPTED,)
_MODEL_READY = (Type.MODEL_READY,)
_AVAILABLE = (Type.AVAILABLE,)
_PROGRESSING = (Type.PROGRESSING,)
_SCALING = (Type.SCALING,)

REASONS: dict[Reason, Meaning] = {
    Reason.VALID: Meaning(_ACCEPTED, Kind.FINE, "The spec can be carried out."),
    Reason.INVALID_SPEC: Meaning(
        _ACCEPTED,
        Kind.FAILED,
        "The API server or an admission webhook refuses what the spec asks for; the message has "
        "its words. Workers that run already go on.",
        "Correct the field that the message names.",
    ),
    Reason.NAME_CONFLICT: Meaning(
        _ACCEPTED,
        Kind.FAILED,
        "An object that the model needs exists and belongs to somebody else. It is not touched.",
        "Delete or rename that object, or create the model under another name.",
    ),
    Reason.SOURCE_NOT_ALLOWED: Meaning(
        _ACCEPTED,
        Kind.FAILED,
        "The source is a folder of the node, and this installation does not allow that.",
        "Use hf:// or pvc://, or install with `nodePaths.enabled=true`.",
    ),
    Reason.LOADED: Meaning(_MODEL_READY, Kind.FINE, "A worker of the current spec has loaded it."),
    Reason.LOADING: Meaning(
        _MODEL_READY, Kind.WAITING, "Workers of the current spec start or load the model."
    ),
    Reason.SOURCE_NOT_FOUND: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "There is no such model on the hub, no such folder, or no such PersistentVolumeClaim.",
        "Correct `spec.source`, or create what it names.",
    ),
    Reason.SOURCE_UNREACHABLE: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The hub does not answer or refuses access.",
        "Look at network policies and proxies; for models that are not public set "
        "`spec.sourceSecret`.",
    ),
    Reason.WEIGHTS_MISSING: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The source has no weights, or only some of them.",
        "Bring a complete folder as written by `save_pretrained`.",
    ),
    Reason.WEIGHTS_CORRUPT: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "A file of the model cannot be read, or does not fit its configuration.",
        "Copy the file that the message names once more.",
    ),
    Reason.TASK_NOT_SUPPORTED: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The model cannot do what `spec.task` asks for, or its architecture is not known.",
        "Use the task that the message offers, or another model.",
    ),
    Reason.INVALID_SETTING: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The worker cannot use a setting.",
        "Correct the field that the message names.",
    ),
    Reason.OUT_OF_MEMORY: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The worker was killed for its memory.",
        "Raise `spec.resources.limits.memory`, or take a shorter `spec.engine.dtype` or a "
        "smaller model.",
    ),
    Reason.CRASH_LOOP: Meaning(
        _MODEL_READY,
        Kind.FAILED,
        "The worker ends again and again for a reason of its own; the message has its last words.",
        "Read `kubectl logs --previous` of the pod that the message names.",
    ),
    Reason.WORKERS_READY: Meaning(_AVAILABLE, Kind.FINE, "At least one worker serves."),
    Reason.UNSCHEDULABLE: Meaning(
        _AVAILABLE,
        Kind.BLOCKED,
        "No node fits; the message has the scheduler's words.",
        "Add such a node, free one, or ask for less in `spec.resources` and `spec.placement`.",
    ),
    Reason.IMAGE_PULL: Meaning(
        _AVAILABLE,
        Kind.FAILED,
        "The node cannot pull the worker's image; the message has the kubelet's words.",
        "Correct the image (chart values or `spec.podTemplate`) or the pull secret.",
    ),
    Reason.CONTAINER_CONFIG: Meaning(
        _AVAILABLE,
        Kind.FAILED,
        "The kubelet cannot create the container: a Secret or ConfigMap is missing, or a user id, "
        "path or command is wrong. The message has its words.",
        "Create what is missing (see `spec.sourceSecret`) or correct `spec.podTemplate`.",
    ),
    Reason.POD_REJECTED: Meaning(
        _AVAILABLE,
        Kind.FAILED,
        "Pods are refused by a quota, an admission policy or the node; the message has the words.",
        "Raise the quota, or ask for what the policy allows.",
    ),
    Reason.NOT_STARTED: Meaning(_AVAILABLE, Kind.WAITING, "No worker serves yet."),
    Reason.STOPPED: Meaning(
        (Type.AVAILABLE, Type.SCALING),
        Kind.BLOCKED,
        "Somebody scaled the Deployment to zero; the autoscaler is off as long as it is.",
        "Start one with `kubectl scale deployment/NAME --replicas=1`.",
    ),
    Reason.ROLLED_OUT: Meaning(_PROGRESSING, Kind.FINE, "All workers run the current spec."),
    Reason.ROLLING_OUT: Meaning(
        _PROGRESSING, Kind.WAITING, "Workers are being replaced by workers of the current spec."
    ),
    Reason.ROLLOUT_STUCK: Meaning(
        _PROGRESSING,
        Kind.FAILED,
        "Workers of the current spec did not become ready within "
        "`spec.rollout.progressDeadlineSeconds`. Workers of the last spec go on.",
        "See ModelReady and the message. Without a spare GPU set `spec.rollout.maxSurge: 0` and "
        "`maxUnavailable: 1`.",
    ),
    Reason.SCALING_ACTIVE: Meaning(
        _SCALING, Kind.FINE, "The autoscaler follows the queue, or the number is fixed."
    ),
    Reason.NOT_YET_SCALED: Meaning(
        _SCALING, Kind.WAITING, "The autoscaler has no metric yet; it starts with the first worker."
    ),
    Reason.METRICS_API_UNAVAILABLE: Meaning(
        _SCALING,
        Kind.BLOCKED,
        "`external.metrics.k8s.io` is not served, so that nothing can be scaled by its queue. The "
        "number of workers stays as it is.",
        "Look at the pods of `lepton-metrics` and at "
        "`kubectl describe apiservice v1beta1.external.metrics.k8s.io`.",
    ),
    Reason.METRIC_UNAVAILABLE: Meaning(
        _SCALING,
        Kind.BLOCKED,
        "The autoscaler cannot read the model's queue depth; the message has its words. The number "
        "of workers stays as it is.",
        "Look whether workers answer and whether a NetworkPolicy keeps `lepton-metrics` from them.",
    ),
    Reason.CANNOT_SCALE: Meaning(
        _SCALING,
        Kind.BLOCKED,
        "The autoscaler cannot change the number of workers; the message has its words.",
        "Act on the message; most often it is gone by itself.",
    ),
    Reason.FOREIGN_AUTOSCALER: Meaning(
        _SCALING,
        Kind.FAILED,
        "Another HorizontalPodAutoscaler, such as KEDA's, scales the workers. Ours stands back.",
        "Delete the one that the message names to scale by the queue again.",
    ),
    Reason.SERVING: Meaning((Type.READY,), Kind.FINE, "The model answers as the spec asks for."),
}
