"""Requests and errors of the API server."""

from typing import Any

import pytest

from lepton_operator import cluster
from lepton_operator.api.objects import DEPLOYMENTS, SERVICES, Key
from lepton_operator.cluster import (
    Conflict,
    Forbidden,
    Leaving,
    NotFound,
    Rejected,
    Unavailable,
)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, 'services "x" not found', NotFound),
        (409, "the object has been modified", Conflict),
        (422, "Deployment.apps is invalid: spec", Rejected),
        (400, 'admission webhook "policy" denied the request: no', Rejected),
        (403, 'services "x" is forbidden: exceeded quota: small', Rejected),
        (
            403,
            'services is forbidden: User "u" cannot create resource "services" in API group ""',
            Forbidden,
        ),
        (429, "too many requests", Unavailable),
        (401, "Unauthorized", Unavailable),
        (500, "etcdserver: request timed out", Unavailable),
        (503, "", Unavailable),
    ],
)
def test_what_an_answer_means(status: int, message: str, kind: type[Exception]) -> None:
    error = cluster.error_of(status, {"message": message})
    assert type(error) is kind
    assert str(error) == (message or "HTTP status 503")


def test_a_namespace_that_is_being_deleted_is_told_from_a_missing_right() -> None:
    cause = {"reason": "NamespaceTerminating", "message": "namespace x is being terminated"}
    answer = {"message": "forbidden: unable to create", "details": {"causes": [cause]}}
    assert type(cluster.error_of(403, answer)) is Leaving


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((SERVICES, Key("n", "x")), "/api/v1/namespaces/n/services/x"),
        ((DEPLOYMENTS, Key("n", "x"), "scale"), "/apis/apps/v1/namespaces/n/deployments/x/scale"),
        ((DEPLOYMENTS, Key("n", "")), "/apis/apps/v1/namespaces/n/deployments"),
        ((DEPLOYMENTS, Key("", "")), "/apis/apps/v1/deployments"),
    ],
)
def test_paths(arguments: Any, path: str) -> None:
    assert cluster.path_of(*arguments) == path
    assert cluster.path_of(*arguments, force="true") == f"{path}?force=true"
