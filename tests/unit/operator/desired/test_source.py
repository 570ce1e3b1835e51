"""Sources as their workers see them."""

import pytest

from lepton_operator.desired.source import Source, parse


@pytest.mark.parametrize(
    ("source", "location"),
    [
        ("hf://org/model@main", "hf://org/model@main"),
        ("pvc://claim/path/to", "/models/path/to"),
        ("pvc://claim", "/models"),
        ("pvc://claim/", "/models"),
        ("pvc://claim//a//b/", "/models/a/b"),
        ("file:///srv/models/x/", "/models"),
    ],
)
def test_the_worker_gets_an_address_or_a_path_under_the_mount(source: str, location: str) -> None:
    assert parse(source).location == location


def test_a_claim_is_mounted_read_only() -> None:
    volume = {
        "name": "model",
        "persistentVolumeClaim": {"claimName": "weights.v1", "readOnly": True},
    }
    assert parse("pvc://weights.v1/x") == Source("/models/x", volume, claim="weights.v1")


def test_a_folder_of_the_node_is_mounted_as_it_is() -> None:
    volume = {"name": "model", "hostPath": {"path": "/srv/models/x"}}
    assert parse("file:///srv/models/x/") == Source("/models", volume, on_node=True)
