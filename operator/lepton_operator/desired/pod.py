"""The pod template of the workers."""

import math
from typing import Any

from lepton_operator.api.names import (
    ANNOTATION_TEMPLATE,
    CACHE_DIR,
    CONTAINER,
    ENV_BACKEND,
    ENV_CACHE_DIR,
    ENV_DRAIN_SECONDS,
    ENV_DTYPE,
    ENV_GRPC_PORT,
    ENV_MAX_BATCH_SIZE,
    ENV_MAX_MODEL_LENGTH,
    ENV_MAX_QUEUE_DEPTH,
    ENV_METRICS_PORT,
    ENV_MODEL_NAME,
    ENV_QUANTIZATION,
    ENV_SOURCE,
    ENV_SPECULATION,
    ENV_SPECULATION_MODEL,
    ENV_SPECULATION_TOKENS,
    ENV_TASK,
    ENV_THREADS,
    HEALTH_LIVENESS,
    HEALTH_READINESS,
    MODEL_DIR,
    PORT_GRPC,
    PORT_METRICS,
    PORT_NAME_GRPC,
    PORT_NAME_METRICS,
    Children,
    labels,
    selector,
)
from lepton_operator.api.objects import Object, digest
from lepton_operator.api.types import LeptonModel, Resources
from lepton_operator.desired.merge import NotMergeable, merge
from lepton_operator.desired.source import VOLUME, Source
from lepton_operator.settings import Settings

USER = 65532
GRACE_AFTER_DRAIN = 15
"""Seconds between the end of draining and the kill: endpoints lag, and the process has to end."""

STARTUP_PERIOD = 2
REQUESTS = {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}
_LOCAL_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"


def template(model: LeptonModel, source: Source, settings: Settings) -> Object:
    """Pod template with the user's merged over it; raises NotMergeable.

    The labels that select the workers stay ours. An annotation carries the template's digest, so
    that workers of this spec can be told from older ones.
    """
    name = model.metadata.name
    volumes = _volumes(model, source)
    local = ",".join(volume["name"] for volume in volumes if "emptyDir" in volume)
    ours: Object = {
        "metadata": {"labels": labels(name), "annotations": {_LOCAL_VOLUMES: local}},
        "spec": _spec(model, source, settings, volumes),
    }
    theirs = model.spec.pod_template or {}
    if unknown := theirs.keys() - {"metadata", "spec"}:
        raise NotMergeable(f"spec.podTemplate.{min(unknown)}: only metadata and spec can be given")
    result = merge(ours, theirs, "spec.podTemplate")
    metadata = dict(result.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **selector(name)}
    result = {**result, "metadata": metadata}
    mark = {ANNOTATION_TEMPLATE: digest(result)}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **mark}
    return result


def _spec(model: LeptonModel, source: Source, settings: Settings, volumes: list[Object]) -> Object:
    spec, placement = model.spec, model.spec.placement
    optional = {
        "imagePullSecrets": [{"name": secret} for secret in settings.image_pull_secrets],
        "nodeSelector": placement.node_selector,
        "affinity": placement.affinity,
        "tolerations": _tolerations(model),
        "runtimeClassName": placement.runtime_class_name,
        "priorityClassName": placement.priority_class_name,
    }
    return {
        "serviceAccountName": Children(model.metadata.name).service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.rollout.drain_seconds + GRACE_AFTER_DRAIN,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(model.metadata.name)},
            }
        ],
        "containers": [_container(model, source, settings)],
        "volumes": volumes,
        **{key: value for key, value in optional.items() if value},
    }


def _container(model: LeptonModel, source: Source, settings: Settings) -> Object:
    gpu = model.spec.resources.gpu
    container: Object = {
        "name": CONTAINER,
        "image": settings.worker_image_gpu if gpu else settings.worker_image,
        "imagePullPolicy": settings.image_pull_policy,
        "ports": [
            {"name": PORT_NAME_GRPC, "containerPort": PORT_GRPC},
            {"name": PORT_NAME_METRICS, "containerPort": PORT_METRICS},
        ],
        "env": _environment(model, source),
        "resources": _resources(model.spec.resources),
        "volumeMounts": _mounts(model, source),
        "startupProbe": _startup(model.spec.rollout.progress_deadline_seconds),
        "readinessProbe": _probe(HEALTH_READINESS, periodSeconds=2, failureThreshold=3),
        "livenessProbe": _probe(HEALTH_LIVENESS, periodSeconds=10, failureThreshold=6),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if model.spec.source_secret:
        container["envFrom"] = [{"secretRef": {"name": model.spec.source_secret}}]
    return container


def _environment(model: LeptonModel, source: Source) -> list[Object]:
    spec, engine = model.spec, model.spec.engine
    values: dict[str, Any] = {
        ENV_MODEL_NAME: model.metadata.name,
        ENV_SOURCE: source.location,
        ENV_TASK: spec.task,
        ENV_BACKEND: engine.backend,
        ENV_DTYPE: engine.dtype,
        ENV_QUANTIZATION: engine.quantization,
        ENV_SPECULATION: engine.speculation.method,
        ENV_SPECULATION_MODEL: engine.speculation.model,
        ENV_SPECULATION_TOKENS: engine.speculation.tokens,
        ENV_MAX_BATCH_SIZE: engine.max_batch_size,
        ENV_MAX_QUEUE_DEPTH: engine.max_queue_depth,
        ENV_MAX_MODEL_LENGTH: engine.max_model_length,
        ENV_GRPC_PORT: PORT_GRPC,
        ENV_METRICS_PORT: PORT_METRICS,
        ENV_CACHE_DIR: CACHE_DIR,
        ENV_DRAIN_SECONDS: spec.rollout.drain_seconds,
    }
    return [
        *({"name": key, "value": str(value)} for key, value in values.items() if value is not None),
        {"name": ENV_THREADS, "valueFrom": {"resourceFieldRef": _processors(spec.resources)}},
    ]


def _processors(resources: Resources) -> Object:
    """Where the number of threads is read: what the pod may count on, in whole processors.

    Without a limit that is the request. As many threads as the node has processors would wait for
    one another whenever the node has other work, and every pod would do so.
    """
    of = "limits.cpu" if "cpu" in resources.limits else "requests.cpu"
    return {"containerName": CONTAINER, "resource": of, "divisor": "1"}


def _resources(resources: Resources) -> Object:
    requests, limits = dict(resources.requests), dict(resources.limits)
    # A limit without a request is its own request; a default request may not exceed it.
    defaults = {key: value for key, value in REQUESTS.items() if key not in limits}
    if gpu := resources.gpu:
        requests[gpu.resource] = limits[gpu.resource] = str(gpu.count)
    result: Object = {"requests": {**defaults, **requests}}
    return {**result, "limits": limits} if limits else result


def _startup(deadline: int) -> Object:
    failures = math.ceil(deadline / STARTUP_PERIOD)
    return _probe(HEALTH_READINESS, periodSeconds=STARTUP_PERIOD, failureThreshold=failures)


def _probe(service: str, **timing: int) -> Object:
    return {"grpc": {"port": PORT_GRPC, "service": service}, "timeoutSeconds": 5, **timing}


def _volumes(model: LeptonModel, source: Source) -> list[Object]:
    volumes: list[Object] = [{"name": "cache", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    if model.spec.resources.gpu:
        volumes.append({"name": "dshm", "emptyDir": {"medium": "Memory"}})
    return [*volumes, source.volume] if source.volume else volumes


def _mounts(model: LeptonModel, source: Source) -> list[Object]:
    mounts: list[Object] = [
        {"name": "cache", "mountPath": CACHE_DIR},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if model.spec.resources.gpu:
        mounts.append({"name": "dshm", "mountPath": "/dev/shm"})
    model_mount = {"name": VOLUME, "mountPath": MODEL_DIR, "readOnly": True}
    return [*mounts, model_mount] if source.volume else mounts


def _tolerations(model: LeptonModel) -> list[Object]:
    gpu = model.spec.resources.gpu
    own = [{"key": gpu.resource, "operator": "Exists"}] if gpu else []
    return [*model.spec.placement.tolerations, *own]
