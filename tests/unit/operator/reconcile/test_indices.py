"""What the watches have seen, and whom a change concerns."""

from typing import Any

import pytest

from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import DEPLOYMENTS, METRICS_API_SERVICE, Key, Object
from lepton_operator.reconcile.indices import Indices, concerned
from lepton_testing.objects import a_condition, a_deployment, a_model, a_ready_pod

KEY = Key("team", "chat")


def an_object(kind: str, spec: Object | None = None, **metadata: Any) -> Object:
    return {
        "kind": kind,
        "metadata": {"name": "x", "namespace": "team", **metadata},
        "spec": spec or {},
    }


def an_owner(kind: str, name: str) -> list[Object]:
    return [{"kind": kind, "name": name, "uid": "u", "controller": True}]


MODELS_OWN = an_owner("LeptonModel", "chat")
SETS_OWN = an_owner("ReplicaSet", "chat-1")


def an_autoscaler_of(kind: str, name: str) -> Object:
    return an_object("HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": kind, "name": name}})


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (an_object("LeptonModel"), {"x"}),
        (an_object("Service", labels={LABEL_MODEL: "chat"}), {"chat"}),
        (
            an_object("Service", labels={LABEL_MODEL: "moved"}, ownerReferences=MODELS_OWN),
            {"moved", "chat"},
        ),
        (an_object("Pod", labels={LABEL_MODEL: "chat"}, ownerReferences=SETS_OWN), {"chat"}),
        (an_autoscaler_of("Deployment", "chat"), {"chat"}),
        (an_autoscaler_of("StatefulSet", "db"), set()),
        (an_object("Service"), set()),
    ],
)
def test_whom_a_change_concerns(item: Object, names: set[str]) -> None:
    assert concerned(item) == {Key("team", name) for name in names}


@pytest.fixture
def indices() -> Indices:
    found = Indices(watches_api_services=True)
    api = {"kind": "APIService", "metadata": {"name": METRICS_API_SERVICE, "uid": "s"}}
    api["status"] = {"conditions": [a_condition("Available")]}
    found.connect(
        {
            "models": {KEY: [a_model()]},
            "children": {KEY: [a_deployment()]},
            "pods": {KEY: [a_ready_pod()]},
            "targets": {},
            "api_services": {METRICS_API_SERVICE: [api]},
        }
    )
    return found


def test_passes_read_by_model(indices: Indices) -> None:
    assert indices.models() == [KEY]
    assert indices.model(KEY) == a_model()
    assert indices.children(KEY) == [a_deployment()]
    assert indices.pods(KEY) == [a_ready_pod()]
    assert indices.autoscalers(KEY) == []
    assert indices.model(Key("team", "other")) is None
    assert indices.metrics_api().available is True


def test_before_the_watches_begin_there_is_nothing() -> None:
    empty = Indices(watches_api_services=False)
    assert empty.model(KEY) is None
    assert empty.models() == []
    assert empty.metrics_api().available is None


def test_what_is_gone_is_overlooked(indices: Indices) -> None:
    assert indices.held(DEPLOYMENTS) == {"d": set()}
    indices.drop({"d", "model-uid"})
    assert indices.held(DEPLOYMENTS) == {}
    assert indices.children(KEY) == []
    assert indices.model(KEY) is None
    assert indices.pods(KEY) == [a_ready_pod()]
