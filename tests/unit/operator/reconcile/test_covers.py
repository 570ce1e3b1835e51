"""Does a live object still have what was asked for."""

from typing import Any

import pytest

from lepton_operator.reconcile.covers import covers


@pytest.mark.parametrize(
    ("live", "desired"),
    [
        ({"a": 1, "added": 2}, {"a": 1}),
        ({"a": {"b": "x", "defaulted": True}}, {"a": {"b": "x"}}),
        # The server drops what is empty.
        ({}, {"a": {}, "b": [], "c": "", "d": None}),
        ({"a": ""}, {"a": None}),
        # Lists of named things: order and additions do not matter.
        (
            {"env": [{"name": "X", "value": "9"}, {"name": "B", "value": "2"}, {"name": "A"}]},
            {"env": [{"name": "A", "value": ""}, {"name": "B", "value": "2"}]},
        ),
        # Other lists: the same length, each item covered.
        ([{"key": "a", "x": 1}, 2], [{"key": "a"}, 2]),
        # Quantities in another form.
        ({"cpu": "500m"}, {"cpu": "0.5"}),
        ({"cpu": "2"}, {"cpu": 2}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({"averageValue": "6"}, {"averageValue": "6000m"}),
        # Names that are not unique are compared by position.
        (
            [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/b"}],
            [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/b"}],
        ),
    ],
)
def test_covered(live: Any, desired: Any) -> None:
    assert covers(live, desired)


@pytest.mark.parametrize(
    ("live", "desired"),
    [
        ({}, {"a": 1}),
        ({"a": 2}, {"a": 1}),
        ({"a": True}, {"a": 1}),
        ({"a": "1"}, {"a": False}),
        ({"a": "x"}, {"a": ""}),
        ({"a": {"b": 1}}, {"a": None}),
        ({"a": {"b": 1}}, {"a": "x"}),
        ({"a": "x"}, {"a": {"b": 1}}),
        ({"a": "x"}, {"a": ["x"]}),
        ({"env": [{"name": "A", "value": "2"}]}, {"env": [{"name": "A", "value": "1"}]}),
        ({"env": [{"name": "B"}]}, {"env": [{"name": "A"}]}),
        ({"tolerations": [{"key": "a"}, {"key": "b"}]}, {"tolerations": [{"key": "a"}]}),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}),
        ({"args": ["a"]}, {"args": []}),
        ({"cpu": "500m"}, {"cpu": "501m"}),
        (
            [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/x"}],
            [{"name": "m", "mountPath": "/a"}, {"name": "m", "mountPath": "/b"}],
        ),
        (None, {"a": 1}),
    ],
)
def test_not_covered(live: Any, desired: Any) -> None:
    assert not covers(live, desired)
