"""JSON documents of the metrics API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from lepton_operator.metrics.answers import DISCOVERY, Answer, Question, answer, failure
from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.roster import ModelKey

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """Queue depths as given."""

    found: Mapping[str, Depth | Unknown] = field(default_factory=dict)
    hidden: str | None = None

    def unseen(self, namespace: str) -> str | None:
        return self.hidden

    def models(self, namespace: str) -> list[str]:
        return list(self.found) if namespace == "team-a" else []

    def depth(self, model: ModelKey) -> Depth | Unknown:
        return self.found[model.name]


def asked(known: Known, selector: str = "", metric: str = "lepton_queue_depth") -> Answer:
    return answer(Question("team-a", metric, selector), known, NOON)


def values(found: Answer) -> dict[str, str]:
    assert found.code == 200
    return {item["metricLabels"]["model"]: item["value"] for item in found.document["items"]}


def test_the_value_list_has_the_form_of_external_metrics() -> None:
    found = asked(Known({"chat": Depth(17, age=2.0)}), "model=chat")
    assert found.code == 200
    assert found.document == {
        "kind": "ExternalMetricValueList",
        "apiVersion": "external.metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": [
            {
                "metricName": "lepton_queue_depth",
                "metricLabels": {"model": "chat"},
                "timestamp": "2026-11-22T11:59:58Z",
                "value": "17",
            }
        ],
    }


def test_no_load_is_one_item_with_zero() -> None:
    assert values(asked(Known({"chat": Depth(0, age=0)}))) == {"chat": "0"}


def test_large_sums_stay_exact() -> None:
    assert values(asked(Known({"chat": Depth(2**40, age=0)}))) == {"chat": str(2**40)}


def test_a_selector_takes_the_models_it_means() -> None:
    known = Known({name: Depth(1, age=0) for name in ("chat", "embed", "code")})
    assert set(values(asked(known))) == {"chat", "embed", "code"}
    assert set(values(asked(known, "model notin (chat)"))) == {"embed", "code"}


def test_one_unknown_model_makes_the_answer_unknown() -> None:
    known = Known({"chat": Depth(1, age=0), "embed": Unknown("worker e-1 has not answered yet")})
    found = asked(known)
    assert found.code == 404
    assert found.document["message"] == (
        "queue depth of model embed in namespace team-a: worker e-1 has not answered yet"
    )
    assert values(asked(known, "model=chat")) == {"chat": "1"}


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (asked(Known(), "model=chat"), 404, "no model in namespace team-a matches 'model=chat'"),
        (asked(Known()), 404, "no model in namespace team-a is there"),
        (asked(Known(), metric="cpu"), 404, "no metric 'cpu': there is lepton_queue_depth only"),
        (asked(Known(), "model in"), 400, "expected '('"),
        (asked(Known(hidden="not listed")), 404, "namespace team-a are unknown: not listed"),
    ],
)
def test_failures_say_what_is_wrong(found: Answer, code: int, words: str) -> None:
    assert found.code == code
    assert words in found.document["message"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (404, "NotFound"),
        (405, "MethodNotAllowed"),
        (500, "InternalError"),
    ],
)
def test_failures_are_status_objects(code: int, reason: str) -> None:
    document: dict[str, Any] = failure(code, "why").document
    assert document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "why",
        "reason": reason,
        "code": code,
    }


def test_discovery_lists_one_resource_that_can_only_be_got() -> None:
    (resource,) = DISCOVERY["resources"]
    assert DISCOVERY["groupVersion"] == "external.metrics.k8s.io/v1beta1"
    assert (resource["name"], resource["namespaced"]) == ("lepton_queue_depth", True)
    assert resource["verbs"] == ["get"]
