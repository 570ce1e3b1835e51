"""Deployment and ServiceAccount of the workers."""

from lepton_operator.api.names import Children, selector
from lepton_operator.api.objects import DEPLOYMENTS, SERVICE_ACCOUNTS, Object
from lepton_operator.api.types import LeptonModel
from lepton_operator.desired.head import head


def deployment(model: LeptonModel, template: Object) -> Object:
    """Deployment without `replicas`: they belong to the autoscaler."""
    rollout = model.spec.rollout
    spec = {
        "selector": {"matchLabels": selector(model.metadata.name)},
        "template": template,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {
                "maxSurge": rollout.max_surge,
                "maxUnavailable": rollout.max_unavailable,
            },
        },
        "progressDeadlineSeconds": rollout.progress_deadline_seconds,
        "revisionHistoryLimit": 2,
    }
    return {**head(DEPLOYMENTS, model, Children(model.metadata.name).deployment), "spec": spec}


def service_account(model: LeptonModel) -> Object:
    """Identity without rights; pods do not even get its token."""
    name = Children(model.metadata.name).service_account
    return {**head(SERVICE_ACCOUNTS, model, name), "automountServiceAccountToken": False}
