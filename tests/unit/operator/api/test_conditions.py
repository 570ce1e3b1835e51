"""Conditions over time, and the table of their reasons."""

from lepton_operator.api.conditions import Condition, Reason, Type, merged
from lepton_operator.api.reasons import REASONS, Kind

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def test_the_time_moves_only_with_the_status() -> None:
    loading = Condition(Type.READY, False, Reason.LOADING, "loads")
    failing = Condition(Type.READY, False, Reason.CRASH_LOOP, "crashes")
    serving = Condition(Type.READY, True, Reason.SERVING, "serves")
    first = merged([], [loading], 1, EARLY)
    assert first[0]["lastTransitionTime"] == EARLY
    second = merged(first, [failing], 2, LATE)
    assert second[0] == {
        "type": "Ready",
        "status": "False",
        "reason": "CrashLoop",
        "message": "crashes",
        "observedGeneration": 2,
        "lastTransitionTime": EARLY,
    }
    assert merged(second, [serving], 2, LATE)[0]["lastTransitionTime"] == LATE


def test_a_status_of_none_is_unknown() -> None:
    found = merged([], [Condition(Type.SCALING, None, Reason.NOT_YET_SCALED, "")], 1, EARLY)
    assert found[0]["status"] == "Unknown"


def test_every_reason_is_explained() -> None:
    assert REASONS.keys() == set(Reason)


def test_whatever_has_to_be_mended_has_a_remedy() -> None:
    for reason, meaning in REASONS.items():
        assert bool(meaning.remedy) == (meaning.kind in (Kind.FAILED, Kind.BLOCKED)), reason
