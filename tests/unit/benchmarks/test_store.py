"""Results on disk: parts are merged, quick ones are kept apart."""

import json
from datetime import UTC, datetime
from pathlib import Path

from lepton_bench import page
from lepton_bench.engine import store
from lepton_bench.engine.context import Curve
from lepton_bench.figures import Figure

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def figure(name: str, value: float = 1.0) -> Figure:
    return Figure(name, value, "ratio")


def test_a_part_replaces_its_own_figures_and_no_others() -> None:
    document = store.with_part(store.empty(), "decode", {}, [figure("d1"), figure("d2")], [])
    document = store.with_part(document, "encode", {}, [figure("e1")], [])
    document = store.with_part(document, "decode", {"rounds": 2}, [figure("d1", 5.0)], [])
    assert {entry["name"]: entry["value"] for entry in document["figures"]} == {
        "e1": 1.0,
        "d1": 5.0,
    }
    assert document["parts"]["decode"]["rounds"] == 2


def test_curves_of_a_part_are_replaced_with_it() -> None:
    first = [Curve("decode", "a", ((1.0, 2.0),)), Curve("load", "a", ((1.0, 2.0),))]
    document = store.with_part(store.empty(), "decode", {}, [], first[:1])
    document = store.with_part(document, "load", {}, [], first[1:])
    document = store.with_part(document, "decode", {}, [], [Curve("decode", "b", ())])
    assert [(curve["picture"], curve["name"]) for curve in document["curves"]] == [
        ("load", "a"),
        ("decode", "b"),
    ]


def test_figures_stand_in_the_order_of_the_parts() -> None:
    document = store.with_part(store.empty(), "cold", {}, [figure("c")], [])
    document = store.with_part(document, "limits", {}, [figure("l2"), figure("l1")], [])
    names = [entry["name"] for entry in store.in_order(document)["figures"]]
    assert names == ["l2", "l1", "c"]


def test_what_is_written_is_read_again_and_makes_a_page(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    assert store.load(path) == store.empty()
    curves = [Curve("decode", "a", ((1.0, 2.0),))]
    run = {"rounds": 3, "when": NOW.isoformat(), "load_before": 0.1}
    document = store.with_part(store.empty(), "decode", run, [figure("engine.x")], curves)
    machine = {"cpu": "c", "cores": 2, "memory_gib": 1, "kernel": "k", "load_before": 0}
    for peer in ("a", "b"):
        store.write(
            path, document, now=NOW, command="make", about=machine, versions={f"peer {peer}": "1"}
        )
        document = store.load(path)
    assert document["versions"] == {"peer a": "1", "peer b": "1"}
    text = page.render([json.loads(path.read_text())])
    assert "| `engine.x` | 1 ratio |" in text
    assert "- Part decode: median of 3 rounds, 2026-11-22 00:00" in text
    assert "![decode](images/bench-decode.svg)" in text


def test_trials_are_no_results() -> None:
    assert store.place(trial=False).parent.name == "results"
    assert store.place(trial=True).parent.name == "bench-trial"
