"""What the local cluster is asked for."""

import pytest

from lepton_demo.local_child import is_released


@pytest.mark.parametrize(
    ("phase", "namespace", "released"),
    [("Released", "space", True), ("Bound", "space", False), ("Released", "other", False)],
)
def test_only_a_volume_of_the_same_claim_that_is_gone_is_in_the_way(
    phase: str, namespace: str, released: bool
) -> None:
    claim = {"namespace": namespace, "name": "models"}
    volume = {"spec": {"claimRef": claim}, "status": {"phase": phase}}
    assert is_released(volume, "space", "models") is released


def test_a_volume_without_a_claim_is_nobodys() -> None:
    assert not is_released({"spec": {}, "status": {"phase": "Available"}}, "space", "models")
