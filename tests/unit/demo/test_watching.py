"""From the text of a watch to objects."""

import json

from lepton_demo.watching import Documents, Objects

EVENTS = [
    {"type": "ADDED", "object": {"metadata": {"name": "a"}, "n": 1}},
    {"type": "ADDED", "object": {"metadata": {"name": "b"}, "text": "}\n{"}},
]


def documents(text: str) -> list[object]:
    cutter = Documents()
    return [found for line in text.splitlines(keepends=True) if (found := cutter.feed(line))]


def test_documents_of_one_line_each_are_cut() -> None:
    assert documents("".join(json.dumps(event) + "\n" for event in EVENTS)) == EVENTS


def test_indented_documents_are_cut() -> None:
    assert documents("".join(json.dumps(event, indent=4) + "\n" for event in EVENTS)) == EVENTS


def test_an_unfinished_document_waits_for_its_rest() -> None:
    cutter = Documents()
    assert cutter.feed('{\n    "type": "ADDED",\n') is None
    assert cutter.feed('    "object": {}\n') is None
    assert cutter.feed("}\n") == {"type": "ADDED", "object": {}}


def event(kind: str, name: str, **fields: object) -> dict[str, object]:
    return {"type": kind, "object": {"metadata": {"name": name}, **fields}}


def test_the_last_event_of_an_object_counts() -> None:
    objects = Objects()
    for each in (event("ADDED", "b"), event("ADDED", "a", n=1), event("MODIFIED", "a", n=2)):
        objects.apply(each)
    assert [found["metadata"]["name"] for found in objects.all()] == ["a", "b"]
    found = objects.get("a")
    assert found is not None
    assert found["n"] == 2


def test_deleted_objects_are_gone() -> None:
    objects = Objects()
    for each in (event("ADDED", "a"), event("DELETED", "a"), event("DELETED", "never-seen")):
        objects.apply(each)
    assert objects.all() == []
    assert objects.get("a") is None


def test_the_servers_farewell_is_no_object() -> None:
    objects = Objects()
    objects.apply({"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410}})
    assert objects.all() == []
