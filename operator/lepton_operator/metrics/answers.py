"""What the metrics API says: its JSON documents, and which one answers a question."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Protocol

from lepton_operator.api.names import (
    METRIC_LABEL_MODEL,
    METRIC_QUEUE_DEPTH,
    METRICS_GROUP,
    METRICS_VERSION,
)
from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.roster import ModelKey
from lepton_operator.metrics.selector import InvalidSelector, parse

GROUP_VERSION = f"{METRICS_GROUP}/{METRICS_VERSION}"

DISCOVERY: dict[str, Any] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": GROUP_VERSION,
    # Clients take an empty list for an error, and `delete` here would make the namespace controller
    # use it; so: always this one resource, always this one verb.
    "resources": [
        {
            "name": METRIC_QUEUE_DEPTH,
            "singularName": "",
            "namespaced": True,
            "kind": "ExternalMetricValueList",
            "verbs": ["get"],
        }
    ],
}

OPENAPI_V2: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Lepton metrics", "version": METRICS_VERSION},
    "paths": {},
}

_REASONS = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
}


@dataclass(frozen=True)
class Answer:
    """HTTP status and JSON document."""

    code: int
    document: dict[str, Any]


class Depths(Protocol):
    """Where queue depths are known from."""

    def unseen(self, namespace: str) -> str | None:
        """Why nothing is known of a namespace; None when its workers are in view."""

    def models(self, namespace: str) -> Iterable[str]:
        """Models in view."""

    def depth(self, model: ModelKey) -> Depth | Unknown:
        """Queue depth of one of them, now."""


def failure(code: int, message: str) -> Answer:
    """A Status object; HPA and kubectl show its message."""
    status = HTTPStatus(code)
    return Answer(
        code,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS.get(status, "InternalError"),
            "code": code,
        },
    )


@dataclass(frozen=True)
class Question:
    """One GET of a metric."""

    namespace: str
    metric: str
    selector: str


def answer(question: Question, depths: Depths, now: datetime) -> Answer:
    """Values of all models that the selector means; 404 as soon as one of them is unknown.

    The HPA adds up what it gets, so a list with one model missing would read as too little work.
    """
    if question.metric != METRIC_QUEUE_DEPTH:
        return failure(404, f"no metric {question.metric!r}: there is {METRIC_QUEUE_DEPTH} only")
    try:
        selector = parse(question.selector)
    except InvalidSelector as error:
        return failure(400, str(error))
    if why := depths.unseen(question.namespace):
        return failure(404, f"queue depths of namespace {question.namespace} are unknown: {why}")
    models = [
        model
        for model in depths.models(question.namespace)
        if selector.matches({METRIC_LABEL_MODEL: model})
    ]
    if not models:
        return failure(404, _nobody(question))
    found = {model: depths.depth(ModelKey(question.namespace, model)) for model in models}
    return _values(question.namespace, found, now)


def _values(namespace: str, found: Mapping[str, Depth | Unknown], now: datetime) -> Answer:
    items = []
    for model, depth in found.items():
        if isinstance(depth, Unknown):
            return failure(
                404, f"queue depth of model {model} in namespace {namespace}: {depth.reason}"
            )
        items.append(_item(model, depth, now))
    document = {
        "kind": "ExternalMetricValueList",
        "apiVersion": GROUP_VERSION,
        "metadata": {},
        "items": items,
    }
    return Answer(200, document)


def _item(model: str, depth: Depth, now: datetime) -> dict[str, Any]:
    measured = now.astimezone(UTC) - timedelta(seconds=depth.age)
    return {
        "metricName": METRIC_QUEUE_DEPTH,
        "metricLabels": {METRIC_LABEL_MODEL: model},
        "timestamp": measured.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "value": str(depth.value),
    }


def _nobody(question: Question) -> str:
    wanted = f"matches {question.selector!r}" if question.selector else "is there"
    return (
        f"no model in namespace {question.namespace} {wanted}: no EndpointSlice of its workers was "
        f"found; is there a LeptonModel of that name?"
    )
