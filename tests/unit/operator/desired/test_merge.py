"""The user's pod template over ours."""

from typing import Any

import pytest

from lepton_operator.desired.merge import NotMergeable, merge

OURS: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "annotations": {"x": "1"}},
    "spec": {
        "terminationGracePeriodSeconds": 75,
        "containers": [
            {
                "name": "worker",
                "image": "ours",
                "args": ["serve"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [{"name": "grpc", "containerPort": 9000}],
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
                "livenessProbe": {"grpc": {"port": 9000}},
            }
        ],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    },
}


def worker(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["spec"]["containers"][0]
    return found


def over(theirs: dict[str, Any]) -> dict[str, Any]:
    return merge(OURS, theirs, "spec.podTemplate")


def test_nothing_changes_nothing() -> None:
    assert over({}) == OURS


def test_maps_are_merged_key_by_key() -> None:
    found = over({"metadata": {"labels": {"b": "2"}}, "spec": {"hostNetwork": True}})
    assert found["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert found["spec"] == {**OURS["spec"], "hostNetwork": True}


def test_a_null_removes_a_key_also_in_a_map_of_theirs() -> None:
    theirs = {
        "spec": {"containers": [{"name": "worker", "livenessProbe": None}], "dns": {"a": None}}
    }
    found = over(theirs)
    assert "livenessProbe" not in worker(found)
    assert found["spec"]["dns"] == {}


def test_the_worker_is_merged_by_its_name_and_others_are_added() -> None:
    found = over({"spec": {"containers": [{"name": "proxy"}, {"name": "worker", "image": "x"}]}})
    assert worker(found) == {**worker(OURS), "image": "x"}
    assert [entry["name"] for entry in found["spec"]["containers"]] == ["worker", "proxy"]


@pytest.mark.parametrize(
    ("key", "theirs", "expected"),
    [
        (
            "env",
            [{"name": "B", "valueFrom": {"fieldRef": {}}}, {"name": "C", "value": "3"}],
            [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"fieldRef": {}}},
                {"name": "C", "value": "3"},
            ],
        ),
        ("ports", [{"name": "grpc", "hostPort": 1}],
         [{"name": "grpc", "containerPort": 9000, "hostPort": 1}]),
        ("volumeMounts", [{"name": "big", "mountPath": "/cache"}],
         [{"name": "big", "mountPath": "/cache"}]),
        ("args", ["other"], ["other"]),
        ("envFrom", [{"secretRef": {"name": "s"}}], [{"secretRef": {"name": "s"}}]),
    ],
)  # fmt: skip
def test_lists_of_the_container(key: str, theirs: list[Any], expected: list[Any]) -> None:
    found = over({"spec": {"containers": [{"name": "worker", key: theirs}]}})
    assert worker(found)[key] == expected


def test_a_volume_of_theirs_replaces_ours_whole() -> None:
    volume = {"name": "cache", "persistentVolumeClaim": {"claimName": "c"}}
    assert over({"spec": {"volumes": [volume]}})["spec"]["volumes"] == [volume]


def test_tolerations_are_added_once() -> None:
    more = {"key": "spot"}
    found = over({"spec": {"tolerations": [more, *OURS["spec"]["tolerations"]]}})
    assert found["spec"]["tolerations"] == [*OURS["spec"]["tolerations"], more]


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"spec": {"containers": {"name": "worker"}}},
         "spec.podTemplate.spec.containers must be a list of maps"),
        ({"spec": {"containers": [{"image": "x"}]}},
         r"spec.podTemplate.spec.containers\[0\] needs a name"),
        ({"spec": {"containers": [{"name": "worker", "env": ["A=1"]}]}},
         r"spec.podTemplate.spec.containers\[0\].env must be a list of maps"),
        ({"metadata": "x"}, "spec.podTemplate.metadata must be a map"),
        ({"spec": {"volumes": [{"name": 1}]}},
         r"spec.podTemplate.spec.volumes\[0\] needs a name"),
    ],
)  # fmt: skip
def test_another_shape_is_refused_with_the_field(theirs: dict[str, Any], words: str) -> None:
    with pytest.raises(NotMergeable, match=words):
        over(theirs)


def test_neither_side_is_changed() -> None:
    before = repr(OURS)
    over({"spec": {"containers": [{"name": "worker", "env": [{"name": "A", "value": "9"}]}]}})
    assert repr(OURS) == before
