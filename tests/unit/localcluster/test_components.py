"""Command lines follow from the plan."""

from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import components
from localcluster.paths import Run
from localcluster.pki import Pki
from localcluster.plan import Options, Plan


@pytest.fixture
def pki(run: Run) -> Pki:
    return Pki(run.pki)


def test_the_autoscaler_is_quick_unless_its_own_periods_are_wanted(
    plan: Plan, run: Run, pki: Pki
) -> None:
    quick = components.controller_manager(plan, run, pki)
    assert quick["horizontal-pod-autoscaler-sync-period"] == "1s"
    assert quick["horizontal-pod-autoscaler-downscale-stabilization"] == "5s"
    slow = components.controller_manager(
        replace(plan, options=Options(default_periods=True)), run, pki
    )
    assert not [flag for flag in slow if flag.startswith("horizontal-pod-autoscaler")]


def test_aggregated_apis_can_trust_the_front_proxy(plan: Plan, run: Run, pki: Pki) -> None:
    flags = components.apiserver(plan, run, pki)
    assert flags["enable-aggregator-routing"] == "true"
    assert flags["requestheader-client-ca-file"] != flags["client-ca-file"]
    assert flags["requestheader-allowed-names"] == "front-proxy-client"
    assert flags["proxy-client-cert-file"] == str(pki.front_proxy_client.cert)


def test_feature_gates_reach_the_whole_control_plane(plan: Plan, run: Run, pki: Pki) -> None:
    gated = replace(plan, options=Options(feature_gates={"HPAScaleToZero": True, "B": False}))
    for flags in (
        components.apiserver(gated, run, pki),
        components.controller_manager(gated, run, pki),
        components.scheduler(gated, run),
    ):
        assert flags["feature-gates"] == "HPAScaleToZero=true,B=false"
    assert "feature-gates" not in components.scheduler(plan, run)


def test_flags_are_replaced_added_and_removed() -> None:
    argv = components.command(Path("/b/x"), {"a": "1", "b": "2", "c": "3"})
    changed = components.overridden(argv, {"a": "9", "c": "", "d": "4"})
    assert changed == ("/b/x", "--b=2", "--a=9", "--d=4")


def test_no_component_listens_on_every_address(plan: Plan, run: Run, pki: Pki) -> None:
    for flags in (
        components.apiserver(plan, run, pki),
        components.controller_manager(plan, run, pki),
        components.scheduler(plan, run),
    ):
        assert flags["bind-address"] in ("127.0.0.1", plan.host_ip)
