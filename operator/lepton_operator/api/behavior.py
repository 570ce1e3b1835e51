"""The `behavior` of an autoscaler whose LeptonModel gives none."""

from lepton_operator.api.objects import Object


def default_behavior(max_replicas: int) -> Object:
    """As many workers as wanted at once, and down by half a minute."""
    # No stabilisation window for scaling down: without one the cluster's own setting holds.
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": max(max_replicas, 4), "periodSeconds": 15}],
        },
        "scaleDown": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
    }
