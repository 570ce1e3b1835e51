"""What all children have in common: kind, name, labels and owner."""

from lepton_operator.api.names import API_VERSION, KIND, labels
from lepton_operator.api.objects import Object, Resource
from lepton_operator.api.types import LeptonModel


def head(resource: Resource, model: LeptonModel, name: str, **extra_labels: str) -> Object:
    """Everything but the spec. Kubernetes removes a child once its owner is gone."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": model.metadata.name,
        "uid": model.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": {**labels(model.metadata.name), **extra_labels},
            "ownerReferences": [owner],
        },
    }
