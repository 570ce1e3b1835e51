"""The HorizontalPodAutoscaler and the PodDisruptionBudget: how many workers there are."""

from lepton_operator.api.names import (
    METRIC_LABEL_MODEL,
    METRIC_QUEUE_DEPTH,
    Children,
    selector,
)
from lepton_operator.api.objects import AUTOSCALERS, BUDGETS, DEPLOYMENTS, Object
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired.head import head


def autoscaler(model: LeptonModel) -> Object:
    """Keeps the average queue of the workers at the target.

    An average over all workers, also those that still load: they are on their way, and asking for
    more in the meantime would only overshoot.
    """
    name, scaling = model.metadata.name, model.spec.scaling
    target = {"type": "AverageValue", "averageValue": str(scaling.target_queue_depth)}
    metric = {
        "name": METRIC_QUEUE_DEPTH,
        "selector": {"matchLabels": {METRIC_LABEL_MODEL: name}},
    }
    spec = {
        "scaleTargetRef": {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "name": Children(name).deployment,
        },
        "minReplicas": scaling.min_replicas,
        "maxReplicas": scaling.max_replicas,
        "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
        "behavior": scaling.effective_behavior,
    }
    return {**head(AUTOSCALERS, model, Children(name).autoscaler), "spec": spec}


def budget(model: LeptonModel) -> Object:
    """Drains take one worker at a time, and are never held up by workers that do not serve."""
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector(model.metadata.name)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**head(BUDGETS, model, Children(model.metadata.name).budget), "spec": spec}
