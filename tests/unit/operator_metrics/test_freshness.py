"""Queue depth out of what workers said, table by table."""

from dataclasses import dataclass, field

import pytest

from lepton_operator.metrics.freshness import Depth, Reading, Source, Unknown, depth

NOW = 1000.0


def a_source(name: str, *, ready: bool = True) -> Source:
    return Source(id=f"uid-{name}", name=name, address=f"10.0.0.1:{len(name)}", ready=ready)


def said(depth: int, *, ago: float = 0.5, failure: str = "") -> Reading:
    return Reading(depth=depth, at=NOW - ago, failure=failure)


@dataclass(frozen=True)
class Case:
    name: str
    sources: dict[str, bool]
    """Name of a worker → whether it is ready."""

    readings: dict[str, Reading] = field(default_factory=dict)
    value: int = -1
    unknown: str = ""


CASES = [
    Case("sum of all", {"a": True, "b": True}, {"a": said(3), "b": said(4)}, value=7),
    Case("no load is zero", {"a": True}, {"a": said(0)}, value=0),
    Case("no workers at all", {}, unknown="no workers"),
    Case(
        "only loading ones",
        {"a": False, "b": False},
        {"a": said(0), "b": said(0)},
        unknown="none of its 2 workers is ready",
    ),
    Case("a ready one that was never heard", {"a": True}, unknown="worker a"),
    Case("old by just ten seconds", {"a": True}, {"a": said(5, ago=10.0)}, value=5),
    Case("older than that", {"a": True}, {"a": said(5, ago=12.4)}, unknown="12 s ago"),
    Case(
        "one silent ready worker makes the whole unknown",
        {"a": True, "b": True},
        {"a": said(9), "b": said(1, ago=30)},
        unknown="worker b",
    ),
    Case(
        "a ready one may miss a beat",
        {"a": True},
        {"a": said(6, ago=3, failure="refused")},
        value=6,
    ),
    Case(
        "a terminating one counts while it answers",
        {"a": True, "b": False},
        {"a": said(1), "b": said(4)},
        value=5,
    ),
    Case(
        "a terminating one that stopped answering does not",
        {"a": True, "b": False},
        {"a": said(1), "b": said(4, ago=2, failure="refused")},
        value=1,
    ),
    Case(
        "nor one that was silent for long",
        {"a": True, "b": False},
        {"a": said(1), "b": said(4, ago=11)},
        value=1,
    ),
    Case(
        "a loading one that was never heard is not missed",
        {"a": True, "b": False},
        {"a": said(2)},
        value=2,
    ),
    Case(
        "a reading of a worker that is gone is not counted",
        {"a": True},
        {"a": said(2), "b": said(50)},
        value=2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_depth_is_the_sum_or_unknown(case: Case) -> None:
    sources = [a_source(name, ready=ready) for name, ready in case.sources.items()]
    readings = {f"uid-{name}": reading for name, reading in case.readings.items()}
    found = depth(sources, readings, NOW)
    if case.unknown:
        assert isinstance(found, Unknown)
        assert case.unknown in found.reason
    else:
        assert isinstance(found, Depth)
        assert found.value == case.value


def test_unknown_names_worker_address_age_and_cause() -> None:
    readings = {"uid-chat-1": said(5, ago=42, failure="connection refused")}
    found = depth([a_source("chat-1")], readings, NOW)
    assert found == Unknown("worker chat-1 (10.0.0.1:6) answered last 42 s ago: connection refused")


def test_unknown_counts_further_culprits() -> None:
    found = depth([a_source("a"), a_source("b"), a_source("c")], {}, NOW)
    assert isinstance(found, Unknown)
    assert found.reason.endswith("has not answered yet; and 2 more")


def test_age_is_that_of_the_oldest_part() -> None:
    readings = {"uid-a": said(1, ago=0.2), "uid-b": said(1, ago=7)}
    assert depth([a_source("a"), a_source("b")], readings, NOW) == Depth(value=2, age=7)


def test_an_answer_replaces_what_was_said_before() -> None:
    busy = Reading().answered(waiting=40, running=8, at=1.0)
    assert busy.depth == 48
    restarted = busy.failed("refused").answered(waiting=0, running=1, at=3.0)
    assert restarted == Reading(depth=1, at=3.0, failure="")


def test_depth_is_never_negative() -> None:
    assert Reading().answered(waiting=-5, running=2, at=1.0).depth == 2


def test_an_answer_to_an_older_question_is_dropped() -> None:
    newer = Reading().answered(waiting=0, running=0, at=5.0)
    assert newer.answered(waiting=9, running=9, at=4.0) == newer


def test_a_failure_keeps_value_and_age() -> None:
    before = Reading().answered(waiting=1, running=1, at=5.0)
    assert before.failed("") == Reading(depth=2, at=5.0, failure="no answer")
