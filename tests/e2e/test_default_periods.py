"""Scaling once with the controller manager's own periods: 15 s sync, 5 min stabilisation."""

import time

import pytest

from lepton_testing.installation import Installation, a_model
from lepton_testing.load import Load

pytestmark = pytest.mark.e2e

DEFAULTS = {
    "horizontal-pod-autoscaler-sync-period": "15s",
    "horizontal-pod-autoscaler-downscale-stabilization": "5m",
}
FAST = {
    "horizontal-pod-autoscaler-sync-period": "1s",
    "horizontal-pod-autoscaler-downscale-stabilization": "5s",
}


def test_workers_grow_and_shrink_with_default_periods(lepton: Installation, space: str) -> None:
    cluster = lepton.cluster
    cluster.restart("kube-controller-manager", DEFAULTS)
    try:
        cluster.apply(
            a_model("usual", scaling={"maxReplicas": 3, "targetQueueDepth": 4}), namespace=space
        )
        lepton.await_condition("usual", space, "Scaling=True/ScalingActive", timeout=240)
        with Load(lepton.address("usual", space), concurrency=24) as load:
            lepton.await_replicas("usual", space, 3, timeout=240)
        ended = time.monotonic()
        lepton.await_replicas("usual", space, 1, timeout=600)
        assert (
            time.monotonic() - ended > 120
        )  # the window held: nothing shrank on the first quiet sync
        assert load.failures == []
    finally:
        cluster.restart("kube-controller-manager", FAST)
