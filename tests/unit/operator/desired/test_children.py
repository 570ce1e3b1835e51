"""What a LeptonModel is made of."""

from dataclasses import replace
from typing import Any

import pytest

from lepton_operator.api import names
from lepton_operator.api.conditions import Reason
from lepton_operator.api.objects import deep, identity
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired import Refused, children
from lepton_operator.settings import Settings
from lepton_testing.objects import SETTINGS, UID, a_model


def made(settings: Settings = SETTINGS, *, foreign: bool = False, **spec: Any) -> dict[str, Any]:
    """Children by kind, or by kind and name where there are two."""
    model = LeptonModel.model_validate(a_model(**spec))
    manifests = children(model, settings, scaled_by_other=foreign)
    result: dict[str, Any] = {}
    for manifest in manifests:
        kind, name = identity(manifest)
        result[kind if name == "chat" else f"{kind}/{name}"] = manifest
    return result


def pod(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(**spec)["Deployment"]["spec"]["template"]
    return found


def worker(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod(**spec)["spec"]["containers"][0]
    return found


def environment(**spec: Any) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in worker(**spec)["env"] if "value" in entry}


def test_the_kinds_of_children_and_their_order() -> None:
    assert list(made()) == [
        "ServiceAccount",
        "Service",
        "Service/chat-workers",
        "Deployment",
        "HorizontalPodAutoscaler",
    ]


def test_children_are_owned_labelled_and_carry_their_digest() -> None:
    for manifest in made(scaling={"maxReplicas": 3}).values():
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "team"
        assert names.selector("chat").items() <= metadata["labels"].items()
        assert metadata["ownerReferences"] == [
            {
                "apiVersion": "lepton.ai/v1alpha1",
                "kind": "LeptonModel",
                "name": "chat",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        assert len(metadata["annotations"][names.ANNOTATION_APPLIED]) == 20


def test_a_budget_exists_only_where_it_cannot_block_a_drain() -> None:
    assert "PodDisruptionBudget" not in made(scaling={"maxReplicas": 1})
    spec = made(scaling={"maxReplicas": 2})["PodDisruptionBudget"]["spec"]
    assert spec == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": names.selector("chat")},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def test_the_replicas_are_left_to_the_autoscaler() -> None:
    assert (
        "replicas" not in made(scaling={"minReplicas": 3, "maxReplicas": 3})["Deployment"]["spec"]
    )


def test_the_autoscaler_follows_the_queue() -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 9, "targetQueueDepth": 6}
    spec = made(scaling=scaling)["HorizontalPodAutoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {
                    "name": "lepton_queue_depth",
                    "selector": {"matchLabels": {"model": "chat"}},
                },
                "target": {"type": "AverageValue", "averageValue": "6"},
            },
        }
    ]
    assert spec["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 9, "periodSeconds": 15}],
        },
        "scaleDown": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
    }


def test_a_behaviour_of_the_user_replaces_ours() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 900}}
    found = made(scaling={"maxReplicas": 2, "behavior": behavior})["HorizontalPodAutoscaler"]
    assert found["spec"]["behavior"] == behavior


def test_with_an_autoscaler_of_somebody_else_we_want_none() -> None:
    assert "HorizontalPodAutoscaler" not in made(foreign=True)


def test_services_find_exactly_the_workers() -> None:
    found = made()
    service, headless = found["Service"]["spec"], found["Service/chat-workers"]["spec"]
    assert service["selector"] == headless["selector"] == names.selector("chat")
    assert (service["type"], headless["clusterIP"]) == ("ClusterIP", "None")
    assert service["ports"][0] == {
        "name": "grpc",
        "port": 9000,
        "targetPort": "grpc",
        "appProtocol": "kubernetes.io/h2c",
    }
    labels = found["Service/chat-workers"]["metadata"]["labels"]
    assert labels[names.LABEL_ENDPOINTS] == "workers"
    assert names.LABEL_ENDPOINTS not in found["Service"]["metadata"]["labels"]


def test_rollout_fields_arrive() -> None:
    rollout = {
        "maxSurge": 0,
        "maxUnavailable": "25%",
        "drainSeconds": 100,
        "progressDeadlineSeconds": 61,
    }
    spec = made(rollout=rollout)["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "25%"}
    assert spec["progressDeadlineSeconds"] == 61
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 115
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (2, 31)


@pytest.mark.parametrize(
    ("resources", "of"),
    [
        ({}, "requests.cpu"),
        ({"requests": {"cpu": 4}}, "requests.cpu"),
        ({"limits": {"cpu": 4}}, "limits.cpu"),
        ({"limits": {"memory": "4Gi"}}, "requests.cpu"),
    ],
)
def test_threads_are_the_processors_that_the_worker_can_count_on(
    resources: dict[str, object], of: str
) -> None:
    env = {entry["name"]: entry for entry in worker(resources=resources)["env"]}
    source = env["LEPTON_THREADS"]["valueFrom"]["resourceFieldRef"]
    assert source == {"containerName": "worker", "resource": of, "divisor": "1"}


def test_the_worker_gets_its_settings_and_nothing_unset() -> None:
    engine = {"backend": "echo", "dtype": "bfloat16", "maxBatchSize": 4, "maxQueueDepth": 5}
    assert environment(task="embed", engine=engine, source="pvc://c/x") == {
        "LEPTON_MODEL_NAME": "chat",
        "LEPTON_SOURCE": "/models/x",
        "LEPTON_TASK": "embed",
        "LEPTON_BACKEND": "echo",
        "LEPTON_DTYPE": "bfloat16",
        "LEPTON_QUANTIZATION": "auto",
        "LEPTON_SPECULATION": "none",
        "LEPTON_SPECULATION_TOKENS": "0",
        "LEPTON_MAX_BATCH_SIZE": "4",
        "LEPTON_MAX_QUEUE_DEPTH": "5",
        "LEPTON_GRPC_PORT": "9000",
        "LEPTON_METRICS_PORT": "9090",
        "LEPTON_CACHE_DIR": "/var/cache/lepton",
        "LEPTON_DRAIN_SECONDS": "60",
    }
    assert environment(engine={"maxModelLength": 77})["LEPTON_MAX_MODEL_LENGTH"] == "77"


def test_the_pod_fits_the_restricted_profile() -> None:
    spec, container = pod()["spec"], worker()
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_the_worker_writes_to_does_not_keep_nodes_from_going() -> None:
    found = pod()
    mark = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
    assert found["metadata"]["annotations"][mark] == "cache,tmp"
    mounts = {entry["mountPath"]: entry["name"] for entry in worker()["volumeMounts"]}
    assert mounts == {"/var/cache/lepton": "cache", "/tmp": "tmp"}


def test_gpus_are_asked_for_tolerated_and_bring_their_image() -> None:
    resources = {"gpu": {"count": 2, "resource": "amd.com/gpu"}, "limits": {"memory": "8Gi"}}
    spec, container = pod(resources=resources)["spec"], worker(resources=resources)
    assert container["image"] == SETTINGS.worker_image_gpu
    assert container["resources"] == {
        "requests": {"cpu": "500m", "ephemeral-storage": "1Gi", "amd.com/gpu": "2"},
        "limits": {"memory": "8Gi", "amd.com/gpu": "2"},
    }
    assert spec["tolerations"] == [{"key": "amd.com/gpu", "operator": "Exists"}]
    assert {"name": "dshm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]
    assert {"name": "dshm", "mountPath": "/dev/shm"} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, {"requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}}),
        (
            {"requests": {"cpu": 4}},
            {"requests": {"cpu": 4, "memory": "1Gi", "ephemeral-storage": "1Gi"}},
        ),
        (
            {"limits": {"memory": "100Mi"}},
            {
                "requests": {"cpu": "500m", "ephemeral-storage": "1Gi"},
                "limits": {"memory": "100Mi"},
            },
        ),
    ],
)
def test_default_requests_never_exceed_a_limit(resources: Any, expected: Any) -> None:
    assert worker(resources=resources)["resources"] == expected


def test_placement_is_passed_on() -> None:
    placement = {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "spot"}],
        "affinity": {"nodeAffinity": {}},
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
    }
    assert placement.items() <= pod(placement=placement)["spec"].items()


def test_settings_of_the_installation_arrive() -> None:
    settings = replace(SETTINGS, image_pull_policy="Always", image_pull_secrets=("one",))
    spec = made(settings)["Deployment"]["spec"]["template"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "one"}]
    assert spec["containers"][0]["imagePullPolicy"] == "Always"


def test_a_secret_of_the_source_becomes_environment() -> None:
    assert worker(sourceSecret="hub")["envFrom"] == [{"secretRef": {"name": "hub"}}]
    assert "envFrom" not in worker()


def test_a_volume_source_is_mounted_read_only() -> None:
    mount = {"name": "model", "mountPath": "/models", "readOnly": True}
    assert mount in worker(source="pvc://weights/x")["volumeMounts"]
    assert mount not in worker(source="hf://a/b")["volumeMounts"]


def test_a_folder_of_the_node_needs_the_installation_to_allow_it() -> None:
    with pytest.raises(Refused, match=r"nodePaths\.enabled=true") as refused:
        made(source="file:///srv/x")
    assert refused.value.reason == Reason.SOURCE_NOT_ALLOWED
    allowed = made(replace(SETTINGS, node_paths=True), source="file:///srv/x")
    volumes = allowed["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "model", "hostPath": {"path": "/srv/x"}} in volumes


def test_the_users_template_cannot_take_the_labels_that_select_workers() -> None:
    theirs = {"metadata": {"labels": {names.LABEL_MODEL: "other", "team": "x"}}}
    labels = pod(podTemplate=theirs)["metadata"]["labels"]
    assert names.selector("chat").items() <= labels.items()
    assert labels["team"] == "x"


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"kind": "Pod"}, r"spec.podTemplate.kind: only metadata and spec"),
        ({"spec": {"containers": [{"image": "x"}]}}, r"containers\[0\] needs a name"),
    ],
)
def test_a_template_that_cannot_be_merged_is_refused(theirs: Any, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        made(podTemplate=theirs)
    assert refused.value.reason == Reason.INVALID_SPEC


def test_the_templates_digest_changes_with_the_template_only() -> None:
    def digest(**spec: Any) -> Any:
        return deep(pod(**spec), "metadata", "annotations", names.ANNOTATION_TEMPLATE)

    assert digest() == digest(scaling={"maxReplicas": 5}, rollout={"maxSurge": 3})
    assert digest() != digest(task="embed")
