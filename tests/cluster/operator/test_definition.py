"""The CRD on the API server: what it refuses, with which words, what it fills in and explains."""

from typing import Any

import pytest

from lepton_testing.space import Space, a_model
from localcluster.errors import CommandFailed

pytestmark = pytest.mark.cluster

LONG = "a" * 56

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "chat",
        {"source": "s3://bucket/x"},
        "spec.source: Invalid value: must start with hf://, pvc:// or file://",
    ),
    (
        "chat",
        {"source": "hf://a/b/c"},
        "spec.source: Invalid value: a hub source reads hf://<organisation>/<model>, with "
        "@<revision> behind it if need be",
    ),
    (
        "chat",
        {"source": "pvc:///x"},
        "spec.source: Invalid value: a volume source reads pvc://<claim>/<path in the volume>",
    ),
    (
        "chat",
        {"source": "file://relative"},
        "spec.source: Invalid value: a node path reads file:///<absolute path>",
    ),
    (
        "chat",
        {"source": "pvc://c/a/../b"},
        "spec.source: Invalid value: the path must not contain ..",
    ),
    (
        "chat",
        {"source": "file:///a/.."},
        "spec.source: Invalid value: the path must not contain ..",
    ),
    ("chat", {"source": None}, 'missing required field "source"'),
    (
        "chat",
        {"scaling": {"minReplicas": 3, "maxReplicas": 2}},
        "spec.scaling.minReplicas: Invalid value: minReplicas must not be greater than maxReplicas",
    ),
    (
        "chat",
        {"scaling": {"minReplicas": 2}},
        "spec.scaling.minReplicas: Invalid value: minReplicas must not be greater than maxReplicas",
    ),
    (
        "chat",
        {"rollout": {"maxSurge": "0%"}},
        "spec.rollout.maxSurge: Invalid value: maxSurge and maxUnavailable must not both be 0: no "
        "worker could ever be replaced",
    ),
    (
        "chat",
        {"rollout": {"maxSurge": "some"}},
        "spec.rollout.maxSurge in body should match",
    ),
    (
        "chat",
        {"rollout": {"drainSeconds": 571}},
        "spec.rollout.drainSeconds in body should be less than or equal to 570",
    ),
    (
        "chat",
        {"resources": {"requests": {"cpu": "two"}}},
        "spec.resources.requests: Invalid value: must be quantities such as 4, 500m or 16Gi",
    ),
    (
        "chat",
        {"resources": {"limits": {"memory": "16GB"}}},
        "spec.resources.limits: Invalid value: must be quantities such as 4, 500m or 16Gi",
    ),
    (
        "chat",
        {"resources": {"gpu": {"resource": "gpu"}}},
        "spec.resources.gpu.resource in body should match",
    ),
    (
        "chat",
        {"task": "translate"},
        'supported values: "auto", "generate", "classify", "tag", "answer", "embed"',
    ),
    (
        LONG,
        {},
        "metadata.name: Invalid value: the name must not be longer than 55 characters: names of "
        "Services and labels derive from it",
    ),
    (
        "chat",
        {"engine": {"speculation": {"method": "assistant"}}},
        "model names the assistant of method assistant: give both or neither",
    ),
    (
        "chat",
        {"engine": {"speculation": {"model": "/models/small"}}},
        "model names the assistant of method assistant: give both or neither",
    ),
    (
        "chat",
        {"engine": {"speculation": {"method": "assistant", "model": "pvc://claim/small"}}},
        "must be hf://<organisation>/<model>, or an absolute path in the workers",
    ),
    (
        "1chat",
        {},
        "metadata.name: Invalid value: the name must start with a letter and consist of "
        "lower-case letters, digits and -: it names Services",
    ),
    (
        "chat.v2",
        {},
        "metadata.name: Invalid value: the name must start with a letter and consist of "
        "lower-case letters, digits and -: it names Services",
    ),
]

ACCEPTED: list[dict[str, Any]] = [
    {"engine": {"speculation": {"method": "ngram", "tokens": 4}}},
    {"engine": {"speculation": {"method": "assistant", "model": "hf://org/small@main"}}},
    {"engine": {"speculation": {"method": "assistant", "model": "/models/small"}}},
    {"source": "hf://gpt2"},
    {"source": "hf://org/model@refs/pr/1"},
    {"source": "pvc://claim.v1/a..b/c"},
    {"source": "file:///srv/models/x"},
    {"resources": {"requests": {"cpu": 2, "memory": "1.5Gi"}, "limits": {"memory": "1e9"}}},
    {"rollout": {"maxSurge": 0, "maxUnavailable": "25%"}},
    {"scaling": {"minReplicas": 2, "maxReplicas": 2}},
    {"podTemplate": {"spec": {"anything": {"goes": ["here"]}}}},
]


def test_what_is_refused_and_with_which_words(space: Space) -> None:
    for name, spec, words in REFUSED:
        with pytest.raises(CommandFailed) as refused:
            space.apply(a_model(name, **spec))
        assert words in " ".join(str(refused.value).split()), spec


def test_what_is_accepted(space: Space) -> None:
    space.apply(*(a_model(f"m{index}", **spec) for index, spec in enumerate(ACCEPTED)))
    space.apply(a_model("a" * 55))


def test_defaults_are_filled_in(space: Space) -> None:
    space.apply(
        {
            "apiVersion": "lepton.ai/v1alpha1",
            "kind": "LeptonModel",
            "metadata": {"name": "chat"},
            "spec": {"source": "hf://a/b", "resources": {"gpu": {}}},
        }
    )
    assert space.get("lm", "chat")["spec"] == {
        "source": "hf://a/b",
        "task": "auto",
        "engine": {
            "backend": "auto",
            "dtype": "auto",
            "quantization": "auto",
            "speculation": {"method": "none", "tokens": 0},
            "maxBatchSize": 8,
            "maxQueueDepth": 256,
        },
        "resources": {"gpu": {"count": 1, "resource": "nvidia.com/gpu"}},
        "scaling": {"minReplicas": 1, "maxReplicas": 1, "targetQueueDepth": 8},
        "rollout": {
            "maxSurge": 1,
            "maxUnavailable": 0,
            "drainSeconds": 60,
            "progressDeadlineSeconds": 1800,
        },
    }


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("lm", "A transformer model, served over gRPC by workers whose number follows the queue."),
        ("lm.spec.source", "Where the weights are"),
        ("lm.spec.scaling", "How the number of workers follows the queue."),
        ("lm.spec.scaling", "targetQueueDepth <integer>"),
        ("lm.spec.rollout.maxSurge", "0 where no GPU is to spare"),
        ("lm.status.conditions", "The culprit, or why it is so, in one word"),
    ],
)
def test_explain_reads_like_documentation(space: Space, field: str, words: str) -> None:
    assert words in " ".join(space.kubectl("explain", field).split())


def test_a_spec_that_nobody_changed_may_be_invalid_by_a_newer_rule(space: Space) -> None:
    """The status of a stored object is written without its spec being judged anew."""
    space.apply(a_model("chat"))
    space.patch("lm", "chat", {"status": {"phase": "Activating"}}, "--subresource=status")
    assert space.get("lm", "chat")["status"] == {"phase": "Activating"}


def test_the_columns(space: Space) -> None:
    space.apply(a_model("chat"))
    status = {
        "task": "embed",
        "phase": "Serving",
        "readyReplicas": 2,
        "replicas": 3,
        "queueDepth": 7,
        "reason": "MetricUnavailable",
    }
    space.patch("lm", "chat", {"status": status}, "--subresource=status")
    heads, values = (line.split() for line in space.kubectl("get", "lm").splitlines())
    assert heads == ["NAME", "TASK", "PHASE", "READY", "QUEUE", "REPLICAS", "AGE", "REASON"]
    assert values[:6] == ["chat", "embed", "Serving", "2", "7", "3"]
    assert values[7] == "MetricUnavailable"
