"""Workers of models out of EndpointSlices."""

from typing import Any

import pytest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.metrics.freshness import Source
from lepton_operator.metrics.roster import ModelKey, Roster

CHAT = ModelKey("team-a", "chat")


def an_endpoint(
    pod: str, address: str = "10.0.0.1", conditions: dict[str, bool] | None = None
) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": conditions or {},
        "targetRef": {"kind": "Pod", "name": pod, "uid": f"uid-{pod}"},
    }


def a_slice(
    name: str, *endpoints: dict[str, Any], model: ModelKey = CHAT, port: int = 9000
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": model.namespace,
            "name": name,
            "labels": {LABEL_MODEL: model.name},
        },
        "ports": [{"name": "metrics", "port": 9090}, {"name": "grpc", "port": port}],
        "endpoints": list(endpoints),
    }


def roster(*slices: dict[str, Any]) -> Roster:
    made = Roster()
    made.replace(None, slices)
    return made


def test_an_endpoint_is_a_source_with_its_grpc_port() -> None:
    found = roster(a_slice("s", an_endpoint("chat-1"))).sources(CHAT)
    assert found == (Source(id="uid-chat-1", name="chat-1", address="10.0.0.1:9000", ready=True),)


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ({}, True),
        ({"ready": True, "serving": True, "terminating": False}, True),
        ({"ready": False, "serving": False, "terminating": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": False, "serving": False, "terminating": True}, False),
        # A Service with publishNotReadyAddresses calls everything ready.
        ({"ready": True, "serving": False, "terminating": False}, False),
        ({"ready": True, "serving": True, "terminating": True}, False),
    ],
)
def test_readiness_by_conditions(conditions: dict[str, bool], ready: bool) -> None:
    (source,) = roster(a_slice("s", an_endpoint("p", conditions=conditions))).sources(CHAT)
    assert source.ready is ready


def test_a_worker_with_two_addresses_is_one_source() -> None:
    found = roster(
        a_slice("ipv4", an_endpoint("p", "10.0.0.1")),
        a_slice("ipv6", an_endpoint("p", "fd00::1")),
    )
    assert [source.address for source in found.sources(CHAT)] == ["10.0.0.1:9000"]


@pytest.mark.parametrize(
    ("one", "other", "ready"),
    [
        ({"ready": False}, {"ready": True}, True),
        ({"ready": True}, {"ready": False, "serving": True, "terminating": True}, False),
    ],
)
def test_of_two_views_of_a_worker_the_later_one_wins(
    one: dict[str, bool], other: dict[str, bool], ready: bool
) -> None:
    for first, second in ((one, other), (other, one)):
        found = roster(
            a_slice("a", an_endpoint("p", conditions=first)),
            a_slice("b", an_endpoint("p", conditions=second)),
        )
        assert [source.ready for source in found.sources(CHAT)] == [ready]


def test_ipv6_addresses_are_bracketed() -> None:
    (source,) = roster(a_slice("s", an_endpoint("p", "fd00::1"))).sources(CHAT)
    assert source.address == "[fd00::1]:9000"


def test_endpoints_without_a_pod_are_told_apart_by_address() -> None:
    one, two = {"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}
    found = roster(a_slice("s", one, two)).sources(CHAT)
    assert [source.name for source in found] == ["10.0.0.1:9000", "10.0.0.2:9000"]
    assert len({source.id for source in found}) == 2


@pytest.mark.parametrize(
    ("ports", "port"),
    [
        ([{"name": "grpc", "port": 7000}], 7000),
        ([{"name": "", "port": 7001}], 7001),
        ([{"name": "http", "port": 80}, {"name": "https", "port": 443}], 9000),
        ([], 9000),
        (None, 9000),
    ],
)
def test_the_port_is_the_one_named_grpc(ports: list[dict[str, Any]] | None, port: int) -> None:
    item = {**a_slice("s", an_endpoint("p")), "ports": ports}
    (source,) = roster(item).sources(CHAT)
    assert source.address == f"10.0.0.1:{port}"


def test_a_model_without_endpoints_is_known_and_has_no_sources() -> None:
    empty = {**a_slice("s"), "endpoints": None}
    found = roster(empty)
    assert found.models("team-a") == ["chat"]
    assert found.sources(CHAT) == ()


def test_slices_without_a_model_are_nobodys() -> None:
    item = a_slice("s", an_endpoint("p"))
    item["metadata"]["labels"] = {}
    assert list(roster(item)) == []


def test_a_changed_slice_replaces_what_it_said() -> None:
    made = roster(a_slice("s", an_endpoint("p"), an_endpoint("q")))
    made.put(a_slice("s", an_endpoint("q")))
    assert [source.name for source in made.sources(CHAT)] == ["q"]


def test_a_slice_that_changes_its_model_moves() -> None:
    made, other = roster(a_slice("s", an_endpoint("p"))), ModelKey("team-a", "other")
    made.put(a_slice("s", an_endpoint("p"), model=other))
    assert made.models("team-a") == ["other"]


def test_a_model_goes_with_its_last_slice() -> None:
    made = roster(a_slice("s", an_endpoint("p")), a_slice("t", an_endpoint("q")))
    made.drop(a_slice("s"))
    assert [source.name for source in made.sources(CHAT)] == ["q"]
    made.drop(a_slice("t"))
    made.drop(a_slice("t"))
    assert made.models("team-a") == []


def test_a_fresh_list_removes_what_it_does_not_name_in_its_namespace_only() -> None:
    other = ModelKey("team-b", "chat")
    made = roster(a_slice("s", an_endpoint("p")), a_slice("s", an_endpoint("q"), model=other))
    made.replace("team-a", [])
    assert list(made) == [other]
    made.replace(None, [])
    assert list(made) == []
