"""Each way to fail: which condition says what; and that it ends with its cause."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lepton_operator.api.conditions import Condition, Reason, Type
from lepton_operator.api.objects import Object
from lepton_operator.status import conditions, phase, status_of
from lepton_operator.status.observe import MetricsApi, Observed, autoscaler, rollout
from lepton_operator.status.workers import workers
from lepton_testing.objects import (
    NOW,
    RUNNING,
    TEMPLATE,
    a_condition,
    a_deployment,
    a_model,
    a_pod,
    a_pod_with,
    a_ready_pod,
    a_wait,
    an_autoscaler,
    an_end,
    an_unschedulable_pod,
)

OLD = "template-1"


def observed(*pods: Object, deployment: Object | None = None, **fields: Any) -> Observed:
    """What is seen of the model `chat` with these pods."""
    ready = sum(worker.ready for worker in workers(pods, TEMPLATE))
    seen = deployment or a_deployment(replicas=len(pods) or 1, updated=len(pods), ready=ready)
    given: dict[str, Any] = {
        "model": a_model(),
        "now": NOW,
        "rollout": rollout(seen),
        "workers": workers(pods, TEMPLATE),
        **fields,
    }
    return Observed(**given)


def found(seen: Observed) -> dict[Type, Condition]:
    return {condition.type: condition for condition in conditions(seen)}


def words(reason: str, message: str) -> str:
    return json.dumps({"reason": reason, "message": message})


@dataclass(frozen=True)
class Row:
    """Pods (or a Deployment) and what has to be said."""

    name: str
    type: Type
    reason: Reason
    says: tuple[str, ...]
    pods: tuple[Object, ...] = ()
    deployment: Object | None = None
    phase: str = "Failed"
    fields: dict[str, Any] = field(default_factory=dict)


SCHEDULER = (
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate, "
    "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
)
QUOTA = (
    'pods "chat-5d9c-" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, '
    "limited: pods=0"
)
NO_IMAGE = (
    'failed to pull and unpack image "example.org/worker:1": failed to resolve reference '
    '"example.org/worker:1": example.org/worker:1: not found'
)
LAST = "Traceback (most recent call last):\n  ...\nRuntimeError: the left wing fell off\n\n"

ROWS = [
    Row(
        "unknown source",
        Type.MODEL_READY,
        Reason.SOURCE_NOT_FOUND,
        ("org/model is not on the hub",),
        (
            a_pod_with(
                a_wait("CrashLoopBackOff", "back-off 10s restarting failed container"),
                an_end(1, words("SourceNotFound", "org/model is not on the hub")),
            ),
        ),
    ),
    Row(
        "missing weights, while the worker tries again",
        Type.MODEL_READY,
        Reason.WEIGHTS_MISSING,
        ("no *.safetensors in /models/x",),
        (a_pod_with(RUNNING, an_end(1, words("WeightsMissing", "no *.safetensors in /models/x"))),),
    ),
    Row(
        "corrupt weights",
        Type.MODEL_READY,
        Reason.WEIGHTS_CORRUPT,
        ("model.safetensors ends early",),
        (a_pod_with(an_end(1, words("WeightsCorrupt", "model.safetensors ends early"))),),
    ),
    Row(
        "unsupported task",
        Type.MODEL_READY,
        Reason.TASK_NOT_SUPPORTED,
        ("use embed",),
        (
            a_pod_with(
                a_wait("CrashLoopBackOff"), an_end(1, words("TaskNotSupported", "use embed"))
            ),
        ),
    ),
    Row(
        "claim that does not exist",
        Type.MODEL_READY,
        Reason.SOURCE_NOT_FOUND,
        ("spec.source", '"weights"', "PersistentVolumeClaim"),
        (
            an_unschedulable_pod(
                '0/1 nodes are available: persistentvolumeclaim "weights" not found. not found'
            ),
        ),
        fields={"claim": "weights"},
    ),
    Row(
        "image that cannot be pulled",
        Type.AVAILABLE,
        Reason.IMAGE_PULL,
        ("image example.org/worker:1 of worker chat-a", "not found", "pull secret"),
        (a_pod_with(a_wait("ErrImagePull", NO_IMAGE)),),
    ),
    Row(
        "image that still cannot be pulled",
        Type.AVAILABLE,
        Reason.IMAGE_PULL,
        ("failed to resolve reference",),
        (
            a_pod_with(
                a_wait(
                    "ImagePullBackOff",
                    f'Back-off pulling image "example.org/worker:1": ErrImagePull: {NO_IMAGE}',
                )
            ),
        ),
    ),
    Row(
        "name that is no image",
        Type.AVAILABLE,
        Reason.IMAGE_PULL,
        ("couldn't parse",),
        (a_pod_with(a_wait("InvalidImageName", "couldn't parse image name")),),
    ),
    Row(
        "no node with that GPU",
        Type.AVAILABLE,
        Reason.UNSCHEDULABLE,
        ("worker chat-a cannot be scheduled", "Insufficient nvidia.com/gpu", "spec.resources"),
        (an_unschedulable_pod(SCHEDULER),),
        phase="Activating",
    ),
    Row(
        "some other claim that does not exist",
        Type.AVAILABLE,
        Reason.UNSCHEDULABLE,
        ('"cache" not found',),
        (an_unschedulable_pod('persistentvolumeclaim "cache" not found'),),
        phase="Activating",
        fields={"claim": "weights"},
    ),
    Row(
        "killed for memory",
        Type.MODEL_READY,
        Reason.OUT_OF_MEMORY,
        ("worker chat-a was killed for its memory", "limit is 100Mi", "spec.resources"),
        (a_pod_with(a_wait("CrashLoopBackOff"), an_end(137, "", "OOMKilled")),),
        fields={"model": a_model(resources={"limits": {"memory": "100Mi"}})},
    ),
    Row(
        "killed by signal 9, reported as an error",
        Type.MODEL_READY,
        Reason.OUT_OF_MEMORY,
        ("most likely", "its node has no more"),
        (a_pod_with(RUNNING, an_end(137, "Loading weights: 50%")),),
    ),
    Row(
        "crash loop",
        Type.MODEL_READY,
        Reason.CRASH_LOOP,
        ("worker chat-a ended with exit code 1: RuntimeError: the left wing fell off",),
        (a_pod_with(a_wait("CrashLoopBackOff"), an_end(1, LAST)),),
    ),
    Row(
        "crash without a word",
        Type.MODEL_READY,
        Reason.CRASH_LOOP,
        ("exit code 139: it left no word (Error)",),
        (a_pod_with(RUNNING, an_end(139)),),
    ),
    Row(
        "last words with a reason that is not the worker's to give",
        Type.MODEL_READY,
        Reason.CRASH_LOOP,
        ("exit code 1",),
        (a_pod_with(RUNNING, an_end(1, words("RolledOut", "all is well"))),),
    ),
    Row(
        "init container of the user",
        Type.MODEL_READY,
        Reason.CRASH_LOOP,
        ("worker chat-a (container fetch) ended with exit code 2: no route",),
        (a_pod_with(a_wait("CrashLoopBackOff"), an_end(2, "no route"), container="fetch"),),
    ),
    Row(
        "missing secret",
        Type.AVAILABLE,
        Reason.CONTAINER_CONFIG,
        ('secret "hub" not found', "spec.sourceSecret"),
        (a_pod_with(a_wait("CreateContainerConfigError", 'secret "hub" not found')),),
    ),
    Row(
        "quota",
        Type.AVAILABLE,
        Reason.POD_REJECTED,
        ("exceeded quota: small",),
        deployment=a_deployment(
            a_condition("Progressing", "True", "NewReplicaSetCreated"),
            a_condition("ReplicaFailure", "True", "FailedCreate", QUOTA),
            replicas=0,
            updated=0,
        ),
    ),
    Row(
        "node that refuses",
        Type.AVAILABLE,
        Reason.POD_REJECTED,
        ("UnexpectedAdmissionError: no healthy devices",),
        (a_pod(phase="Failed", reason="UnexpectedAdmissionError", message="no healthy devices"),),
    ),
    Row(
        "nothing served in time",
        Type.PROGRESSING,
        Reason.ROLLOUT_STUCK,
        ("did not become ready in time",),
        (a_pod_with(RUNNING),),
        deployment=a_deployment(
            a_condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out")
        ),
    ),
    Row(
        "name conflict",
        Type.ACCEPTED,
        Reason.NAME_CONFLICT,
        ("Service chat",),
        fields={
            "refused": Condition(
                Type.ACCEPTED, False, Reason.NAME_CONFLICT, "Service chat is taken"
            )
        },
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_condition_names_the_culprit(row: Row) -> None:
    seen = observed(*row.pods, deployment=row.deployment, **row.fields)
    all_of_them = found(seen)
    condition = all_of_them[row.type]
    assert (condition.status, condition.reason) == (False, row.reason)
    for said in row.says:
        assert said in condition.message
    ready = all_of_them[Type.READY]
    assert (ready.status, ready.reason, ready.message) == (False, row.reason, condition.message)
    assert phase(seen, conditions(seen)) == row.phase
    assert status_of(seen, None)["reason"] == row.reason


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_ends_with_its_cause(row: Row) -> None:
    fields = {key: value for key, value in row.fields.items() if key != "refused"}
    seen = observed(a_ready_pod(), **fields)
    assert all(condition.status for condition in conditions(seen))
    assert "reason" not in status_of(seen, None)


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.pods and row.type != Type.PROGRESSING],
    ids=lambda row: row.name,
)
def test_a_new_spec_that_fails_is_told_although_the_old_one_serves(row: Row) -> None:
    rolling = a_deployment(
        a_condition("Progressing", "True", "ReplicaSetUpdated"), replicas=2, updated=1, ready=1
    )
    old = a_ready_pod("chat-old", template=OLD)
    seen = observed(old, *row.pods, deployment=rolling, **row.fields)
    all_of_them = found(seen)
    assert all_of_them[Type.AVAILABLE].status is True
    assert all_of_them[Type.MODEL_READY].status is False
    assert all_of_them[Type.READY].status is False
    assert phase(seen, conditions(seen)) == "Serving"
    told = all_of_them[row.type].message + all_of_them[Type.PROGRESSING].message
    for said in row.says:
        assert said in told


def test_an_old_spec_that_fails_does_not_mask_that_the_new_one_loads() -> None:
    old = a_pod_with(
        a_wait("CrashLoopBackOff"), an_end(1, words("WeightsMissing", "no")), template=OLD
    )
    condition = found(observed(old, a_pod_with(RUNNING, name="chat-new")))[Type.MODEL_READY]
    assert (condition.status, condition.reason) == (False, Reason.LOADING)


def test_one_failing_worker_among_serving_ones_is_told_and_no_more() -> None:
    broken = a_pod_with(RUNNING, an_end(137, "", "OOMKilled"), name="chat-b")
    all_of_them = found(observed(a_ready_pod(), broken))
    assert all(condition.status for condition in all_of_them.values())
    message = all_of_them[Type.AVAILABLE].message
    assert message.startswith("1 of 2 workers serve; OutOfMemory: worker chat-b was killed")


def test_a_deployment_scaled_to_zero_by_hand() -> None:
    seen = observed(
        deployment=a_deployment(replicas=0, updated=0, desired=0),
        model=a_model(scaling={"maxReplicas": 3}),
        autoscaler=autoscaler(
            an_autoscaler(a_condition("ScalingActive", "False", "ScalingDisabled"))
        ),
    )
    all_of_them = found(seen)
    for kind in (Type.AVAILABLE, Type.SCALING):
        assert (all_of_them[kind].status, all_of_them[kind].reason) == (False, Reason.STOPPED)
        assert "kubectl scale deployment/chat --replicas=1" in all_of_them[kind].message


def test_before_anything_exists_the_model_is_activating() -> None:
    seen = replace(observed(), rollout=None, workers=())
    assert phase(seen, conditions(seen)) == "Activating"
    assert {condition.reason for condition in conditions(seen)} == {
        Reason.VALID,
        Reason.LOADING,
        Reason.NOT_STARTED,
        Reason.ROLLING_OUT,
        Reason.SCALING_ACTIVE,
    }


def test_growing_is_no_rollout() -> None:
    seen = observed(a_ready_pod(), a_pod_with(RUNNING, name="chat-b"))
    assert found(seen)[Type.PROGRESSING].reason == Reason.ROLLED_OUT


def test_a_spec_that_the_controller_has_not_seen_yet_is_rolling_out() -> None:
    seen = observed(a_ready_pod(), deployment=a_deployment(ready=1, generation=2))
    assert found(seen)[Type.PROGRESSING].reason == Reason.ROLLING_OUT


def test_a_rejected_pod_waits_while_others_of_the_spec_load() -> None:
    deployment = a_deployment(
        a_condition("Progressing", "True", "ReplicaSetUpdated"),
        a_condition("ReplicaFailure", "True", "FailedCreate", QUOTA),
    )
    seen = observed(a_pod_with(RUNNING), deployment=deployment)
    assert found(seen)[Type.AVAILABLE].reason == Reason.NOT_STARTED


def test_long_words_are_cut_in_the_middle() -> None:
    seen = observed(a_pod_with(RUNNING, an_end(1, "x" * 5000 + " the end")))
    message = found(seen)[Type.MODEL_READY].message
    assert len(message.encode()) < 1024
    assert "the end" in message
    assert "exit code 1" in message


def test_a_dead_metrics_api_does_not_make_the_model_unready() -> None:
    seen = observed(
        a_ready_pod(),
        model=a_model(scaling={"maxReplicas": 3}),
        metrics_api=MetricsApi(False, "MissingEndpoints: no endpoints"),
    )
    all_of_them = found(seen)
    assert all_of_them[Type.READY].status is True
    assert all_of_them[Type.SCALING].reason == Reason.METRICS_API_UNAVAILABLE
    assert status_of(seen, None)["reason"] == "MetricsAPIUnavailable"
