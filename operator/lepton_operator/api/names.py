"""Names that several parts agree on: group, labels, children, ports, environment, metrics."""

from dataclasses import dataclass

GROUP = "lepton.ai"
VERSION = "v1alpha1"
PLURAL = "leptonmodels"
KIND = "LeptonModel"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "lepton"
"""Owner of every field we apply on children, so that fields we stop applying go away."""

REPLICAS_MANAGER = "lepton-replicas"
"""Owner of `replicas` when we set it through the scale subresource; then the HPA takes over."""

# Labels of children, and of the EndpointSlices that inherit them from their Service.
LABEL_MODEL = f"{GROUP}/model"
LABEL_ENDPOINTS = f"{GROUP}/endpoints"
ENDPOINTS_WORKERS = "workers"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "lepton-operator"
LABEL_COMPONENT = "app.kubernetes.io/component"
COMPONENT_WORKER = "worker"

ANNOTATION_APPLIED = f"{GROUP}/applied"
"""Digest of the manifest as last applied: its change shows that we no longer ask for some field."""

ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""Digest of the pod template, on pods: tells workers of the current spec from older ones."""

# Worker container.
CONTAINER = "worker"
PORT_GRPC = 9000
PORT_METRICS = 9090
PORT_NAME_GRPC = "grpc"
PORT_NAME_METRICS = "metrics"
CACHE_DIR = "/var/cache/lepton"
MODEL_DIR = "/models"
HEALTH_READINESS = "readiness"
HEALTH_LIVENESS = "liveness"

# Environment of the worker container; the worker reads exactly these (a contract test compares).
ENV_MODEL_NAME = "LEPTON_MODEL_NAME"
ENV_SOURCE = "LEPTON_SOURCE"
ENV_TASK = "LEPTON_TASK"
ENV_BACKEND = "LEPTON_BACKEND"
ENV_DTYPE = "LEPTON_DTYPE"
ENV_QUANTIZATION = "LEPTON_QUANTIZATION"
ENV_SPECULATION = "LEPTON_SPECULATION"
ENV_SPECULATION_MODEL = "LEPTON_SPECULATION_MODEL"
ENV_SPECULATION_TOKENS = "LEPTON_SPECULATION_TOKENS"
ENV_MAX_BATCH_SIZE = "LEPTON_MAX_BATCH_SIZE"
ENV_MAX_QUEUE_DEPTH = "LEPTON_MAX_QUEUE_DEPTH"
ENV_MAX_MODEL_LENGTH = "LEPTON_MAX_MODEL_LENGTH"
ENV_GRPC_PORT = "LEPTON_GRPC_PORT"
ENV_METRICS_PORT = "LEPTON_METRICS_PORT"
ENV_CACHE_DIR = "LEPTON_CACHE_DIR"
ENV_DRAIN_SECONDS = "LEPTON_DRAIN_SECONDS"
ENV_THREADS = "LEPTON_THREADS"

# External metrics API.
METRICS_GROUP = "external.metrics.k8s.io"
METRICS_VERSION = "v1beta1"
METRIC_QUEUE_DEPTH = "lepton_queue_depth"
METRIC_LABEL_MODEL = "model"

LIMIT_NAME = 55
"""Longest name of a LeptonModel: its longest child name and label value have to fit into 63."""


@dataclass(frozen=True)
class Children:
    """Names of the objects that belong to one LeptonModel, all in its namespace."""

    model: str

    @property
    def service_account(self) -> str:
        """Identity of the workers; it has no rights and its token is not mounted."""
        return self.model

    @property
    def deployment(self) -> str:
        """The workers."""
        return self.model

    @property
    def service(self) -> str:
        """One address for all workers."""
        return self.model

    @property
    def headless_service(self) -> str:
        """Addresses of the single workers: for clients that balance by themselves, for metrics."""
        return f"{self.model}-workers"

    @property
    def autoscaler(self) -> str:
        """The HorizontalPodAutoscaler."""
        return self.model

    @property
    def budget(self) -> str:
        """The PodDisruptionBudget."""
        return self.model


def selector(model: str) -> dict[str, str]:
    """Labels by which Services and the Deployment find the workers of one model, and no others."""
    return {LABEL_MODEL: model, LABEL_COMPONENT: COMPONENT_WORKER}


def labels(model: str) -> dict[str, str]:
    """Labels of every child of one model."""
    return {
        **selector(model),
        LABEL_MANAGED_BY: MANAGED_BY,
        "app.kubernetes.io/name": "lepton",
        "app.kubernetes.io/instance": model,
    }
