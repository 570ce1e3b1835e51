"""What the watches have seen, and whom a change concerns."""

from typing import Any

import pytest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import DEPLOYMENTS, METRICS_API_SERVICE, Key, Object
from lepton_operator.reconcile.store import Store, concerned
from lepton_testing.objects import a_condition, a_model, a_ready_pod

KEY = Key("team", "chat")


def an_object(kind: str, spec: Object | None = None, **metadata: Any) -> Object:
    head = {"name": "x", "namespace": "team", "uid": f"uid-{kind}", **metadata}
    return {"kind": kind, "metadata": head, "spec": spec or {}}


def an_owner(kind: str, name: str) -> list[Object]:
    return [{"kind": kind, "name": name, "uid": "u", "controller": True}]


MODELS_OWN = an_owner("LeptonModel", "chat")
SETS_OWN = an_owner("ReplicaSet", "chat-1")


def an_autoscaler_of(kind: str, name: str) -> Object:
    return an_object("HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": kind, "name": name}})


def keys(*names: str) -> set[Key]:
    return {Key("team", name) for name in names}


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (an_object("LeptonModel"), ["x"]),
        (an_object("Service", labels={LABEL_MODEL: "chat"}), ["chat"]),
        (
            an_object("Service", labels={LABEL_MODEL: "moved"}, ownerReferences=MODELS_OWN),
            ["moved", "chat"],
        ),
        (an_object("Pod", labels={LABEL_MODEL: "chat"}, ownerReferences=SETS_OWN), ["chat"]),
        (an_autoscaler_of("Deployment", "chat"), ["chat"]),
        (an_autoscaler_of("StatefulSet", "db"), []),
        (an_object("Service"), []),
    ],
)
def test_whom_a_change_concerns(item: Object, names: list[str]) -> None:
    assert concerned(item) == keys(*names)


@pytest.fixture
def store() -> Store:
    return Store(watches_api_services=True)


def test_passes_read_by_model(store: Store) -> None:
    service = an_object("Service", labels={LABEL_MODEL: "chat"})
    scaler = an_autoscaler_of("Deployment", "chat")
    for item in (a_model(), service, a_ready_pod(), scaler):
        assert store.put(item) == {KEY}
    assert store.models() == [KEY]
    assert store.model(KEY) == a_model()
    assert store.children(KEY) == [service]
    assert store.pods(KEY) == [a_ready_pod()]
    assert store.autoscalers(KEY) == [scaler]
    other = Key("team", "other")
    assert store.model(other) is None
    assert store.children(other) == []


def test_an_object_is_held_as_it_is_now(store: Store) -> None:
    store.put(an_object("Service", labels={LABEL_MODEL: "chat"}))
    moved = an_object("Service", labels={LABEL_MODEL: "other"})
    assert store.put(moved) == keys("chat", "other")
    assert store.children(KEY) == []
    assert store.children(Key("team", "other")) == [moved]


def test_an_autoscaler_pointed_elsewhere_concerns_both(store: Store) -> None:
    store.put(an_autoscaler_of("Deployment", "chat"))
    assert store.put(an_autoscaler_of("Deployment", "other")) == keys("chat", "other")
    assert store.autoscalers(KEY) == []


def test_what_is_removed_is_found_no_more(store: Store) -> None:
    store.put(an_object("Deployment", labels={LABEL_MODEL: "chat"}))
    store.put(a_model())
    assert store.held(DEPLOYMENTS) == {"uid-Deployment": {KEY}}
    assert store.remove("uid-Deployment") == {KEY}
    assert store.held(DEPLOYMENTS) == {}
    assert store.children(KEY) == []
    assert store.remove("uid-Deployment") == set()
    assert store.remove("model-uid") == {KEY}
    assert store.models() == []


def test_of_two_models_of_one_name_the_newer_counts(store: Store) -> None:
    """The watch may tell of the new one before it tells that the old one is gone."""
    old, new = a_model(), a_model()
    new["metadata"]["uid"] = "new"
    store.put(old)
    store.put(new)
    assert store.model(KEY) is new
    store.remove("model-uid")
    assert store.model(KEY) is new


def test_the_metrics_api(store: Store) -> None:
    assert store.metrics_api().available is False
    api = {"kind": "APIService", "metadata": {"name": METRICS_API_SERVICE, "uid": "s"}}
    assert store.put({**api, "status": {"conditions": [a_condition("Available")]}}) == set()
    assert store.metrics_api().available is True
    assert Store(watches_api_services=False).metrics_api().available is None
