"""Whose the APIService is."""

import base64
from typing import Any

import pytest

from lepton_operator.metrics.registration import State, registration, with_bundle


def an_api_service(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "v1beta1.external.metrics.k8s.io",
            "uid": "1234",
            "resourceVersion": "7",
            "labels": {"chart": "lepton"},
        },
        "spec": {"group": "external.metrics.k8s.io", **spec},
    }


OURS = {"service": {"namespace": "lepton-system", "name": "lepton-metrics", "port": 443}}
KEDA = {"service": {"namespace": "keda", "name": "keda-operator-metrics-apiserver"}}


@pytest.mark.parametrize(
    ("api_service", "state", "words"),
    [
        (None, State.ABSENT, "does not exist"),
        (an_api_service(**OURS), State.OURS, "is ours"),
        (an_api_service(**KEDA), State.FOREIGN, "belongs to Service keda/keda-operator"),
        (an_api_service(), State.FOREIGN, "belongs to the API server itself"),
        (
            an_api_service(service={"namespace": "other", "name": "lepton-metrics"}),
            State.FOREIGN,
            "not to Service lepton-system/lepton-metrics",
        ),
    ],
)
def test_the_service_tells_whose_it_is(
    api_service: dict[str, Any] | None, state: State, words: str
) -> None:
    found = registration(api_service, "lepton-metrics", "lepton-system")
    assert found.state is state
    assert words in found.message
    assert found.message.startswith("MetricsAPIConflict") is (state is State.FOREIGN)


@pytest.mark.parametrize(("text", "seen"), [("UEVN", b"PEM"), ("", b""), (None, b""), ("*", b"")])
def test_the_bundle_is_read_as_far_as_it_can_be(text: str | None, seen: bytes) -> None:
    found = registration(an_api_service(**OURS, caBundle=text), "lepton-metrics", "lepton-system")
    assert found.bundle == seen


def test_only_the_bundle_is_applied_and_only_on_what_was_judged() -> None:
    assert with_bundle(an_api_service(**OURS), b"PEM") == {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": "v1beta1.external.metrics.k8s.io",
            "uid": "1234",
            "resourceVersion": "7",
        },
        "spec": {"caBundle": base64.b64encode(b"PEM").decode()},
    }
