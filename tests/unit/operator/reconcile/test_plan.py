"""Steps from what is wanted and what is there."""

from typing import Any

from lepton_operator.api.names import ANNOTATION_APPLIED
from lepton_operator.api.objects import Object
from lepton_operator.reconcile.plan import Create, Delete, Repair, plan


def a_manifest(kind: str, name: str = "chat", *, mark: str = "1", **spec: Any) -> Object:
    metadata = {"name": name, "annotations": {ANNOTATION_APPLIED: mark}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def leaving(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


def never(item: Object, manifest: Object) -> bool:
    return False


WANTED = [a_manifest("Service", port=1), a_manifest("Deployment", image="x")]


def test_with_nothing_there_everything_is_created_in_order() -> None:
    assert plan(WANTED, [], never) == [Create(WANTED[0]), Create(WANTED[1])]


def test_with_everything_as_wanted_there_is_nothing_to_do() -> None:
    assert plan(WANTED, reversed(WANTED), never) == []


def test_a_changed_field_is_repaired() -> None:
    seen = [WANTED[0], a_manifest("Deployment", image="y")]
    assert plan(WANTED, seen, never) == [Repair(WANTED[1])]


def test_a_field_no_longer_asked_for_is_seen_by_the_digest() -> None:
    seen = [WANTED[0], a_manifest("Deployment", mark="0", image="x", old=True)]
    assert plan(WANTED, seen, never) == [Repair(WANTED[1])]


def test_children_no_longer_wanted_are_deleted_first() -> None:
    stray = a_manifest("PodDisruptionBudget")
    assert plan(WANTED, [stray], never)[0] == Delete(stray)
    assert plan([], [leaving(stray)], never) == []


def test_a_child_on_its_way_out_is_awaited() -> None:
    seen = [leaving(a_manifest("Service", port=9)), WANTED[1]]
    assert plan(WANTED, seen, never) == []


def test_what_the_server_keeps_leaving_out_is_not_applied_for_ever() -> None:
    seen = [WANTED[0], a_manifest("Deployment")]
    assert plan(WANTED, seen, lambda item, manifest: item is seen[1]) == []
