"""Settings from the environment."""

import pytest

from lepton_operator.settings import Settings, SettingsError, read


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read({}) == Settings()


def test_every_variable_arrives_in_its_field() -> None:
    found = read(
        {
            "LEPTON_NAMESPACE": "ml",
            "LEPTON_WATCH_NAMESPACES": "team-a, team-b,,team-a",
            "LEPTON_WORKER_IMAGE": "worker:1",
            "LEPTON_WORKER_IMAGE_GPU": "worker-gpu:1",
            "LEPTON_IMAGE_PULL_POLICY": "Always",
            "LEPTON_IMAGE_PULL_SECRETS": "one,two",
            "LEPTON_NODE_PATHS": "True",
            "LEPTON_LOG_LEVEL": "DEBUG",
            "LEPTON_LOG_FORMAT": "json",
            "LEPTON_HEALTH_PORT": "9999",
            "LEPTON_METRICS_SERVICE": "metrics",
            "LEPTON_METRICS_PORT": "9443",
            "LEPTON_METRICS_SECRET": "tls",
            "LEPTON_METRICS_EXTERNAL_TLS": "true",
        }
    )
    assert found == Settings(
        namespace="ml",
        watch_namespaces=("team-a", "team-b"),
        worker_image="worker:1",
        worker_image_gpu="worker-gpu:1",
        image_pull_policy="Always",
        image_pull_secrets=("one", "two"),
        node_paths=True,
        log_level="DEBUG",
        log_format="json",
        health_port=9999,
        metrics_service="metrics",
        metrics_port=9443,
        metrics_secret="tls",
        metrics_external_tls=True,
    )


def test_without_a_gpu_image_the_other_one_is_used() -> None:
    assert read({"LEPTON_WORKER_IMAGE": "worker:1"}).worker_image_gpu == "worker:1"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LEPTON_NODE_PATHS", "perhaps", "true or false"),
        ("LEPTON_HEALTH_PORT", "http", "a port"),
        ("LEPTON_HEALTH_PORT", "70000", "a port"),
        ("LEPTON_LOG_FORMAT", "xml", "one of text, json"),
        ("LEPTON_NAMESPACE", "Team A", "no Kubernetes object"),
        ("LEPTON_WATCH_NAMESPACES", "good,-bad", "no Kubernetes object"),
    ],
)
def test_a_bad_value_is_refused_with_its_variable_and_remedy(
    variable: str, value: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=f"{variable}.*{words}"):
        read({variable: value})
