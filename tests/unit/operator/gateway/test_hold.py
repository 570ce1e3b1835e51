"""Held calls go by priority, tenants in turn; a full queue leaves each tenant its share."""

import math

import pytest

from lepton_operator.gateway.hold import RAMP_SECONDS, Call, Hold, opening, wait


def _hold(*ids: str, limit: int = 100) -> Hold:
    """Calls named by tenant and number, as `a1`; an exclamation mark makes one urgent."""
    hold = Hold(limit)
    for name in ids:
        assert hold.enter(_call(name)) is None
    return hold


def _call(name: str) -> Call:
    return Call(name, tenant=name[0], priority=-1 if name.endswith("!") else 0)


def _ids(calls: list[Call]) -> str:
    return " ".join(call.id for call in calls)


@pytest.mark.parametrize(
    ("entered", "order"),
    [
        pytest.param("", "", id="nobody"),
        pytest.param("a1 a2 a3", "a1 a2 a3", id="first in, first out"),
        pytest.param("a1 a2 a3 b1", "a1 b1 a2 a3", id="tenants in turn"),
        pytest.param("a1 a2 b1 b2 c1", "a1 b1 c1 a2 b2", id="three tenants"),
        pytest.param("a1 a2 b1! a3!", "b1! a3! a1 a2", id="priority before turns"),
    ],
)
def test_calls_go_by_priority_then_tenants_in_turn(entered: str, order: str) -> None:
    hold = _hold(*entered.split())
    assert _ids(list(hold.order())) == order
    assert _ids(hold.take(100)) == order
    assert len(hold) == 0


def test_a_turn_is_remembered_between_releases() -> None:
    hold = _hold("a1", "a2", "b1")
    assert _ids(hold.take(1)) == "a1"
    assert _ids(list(hold.order())) == "b1 a2"
    hold.enter(_call("c1"))
    assert _ids(hold.take(2)) == "b1 c1"
    assert _ids(hold.take(2)) == "a2"


def test_the_order_told_is_the_order_taken_one_by_one() -> None:
    hold = _hold("a1", "a2", "a3", "b1", "c1!", "a4!", "b2", "d1")
    hold.take(2)
    told = _ids(list(hold.order()))
    assert " ".join(_ids(hold.take(1)) for _ in range(len(hold))) == told


def test_a_call_that_left_is_not_taken() -> None:
    hold = _hold("a1", "a2", "b1")
    assert hold.leave("a1") == _call("a1")
    assert hold.leave("a1") is None
    assert _ids(hold.take(9)) == "a2 b1"


@pytest.mark.parametrize(
    ("entered", "newcomer", "refused"),
    [
        pytest.param("a1 a2 a3", "a4", "a4", id="one tenant: the newcomer"),
        pytest.param("a1 a2 a3", "b1", "a3", id="the newest of who has most"),
        pytest.param("a1 b1 c1", "d1", "d1", id="equal shares stay"),
        pytest.param("a1 a2 b1", "b2", "b2", id="would only turn the shares round"),
        pytest.param("a1 b1 c1", "d1!", "a1", id="urgent ones displace"),
        pytest.param("a1! b1! c1!", "d1", "d1", id="urgent ones are not displaced"),
        pytest.param("a1! a2! b1", "a3!", "b1", id="the weakest priority gives way first"),
    ],
)
def test_a_full_queue_refuses_who_has_least_right_to_a_place(
    entered: str, newcomer: str, refused: str
) -> None:
    hold = _hold(*entered.split(), limit=3)
    out = hold.enter(_call(newcomer))
    assert out is not None
    assert out.id == refused
    assert len(hold) == 3
    assert refused not in [call.id for call in hold.order()]


def test_a_queue_without_places_refuses_everybody() -> None:
    assert Hold(0).enter(_call("a1")) == _call("a1")
    with pytest.raises(ValueError, match=r"scaling\.hold\.maxRequests is -1"):
        Hold(-1)


def test_two_calls_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="a1 waits already"):
        _hold("a1").enter(_call("a1"))


def test_calls_whose_deadline_has_come_are_removed() -> None:
    hold = Hold(10)
    for name, deadline in (("a1", 5.0), ("a2", 7.0), ("b1", math.inf)):
        hold.enter(Call(name, name[0], deadline=deadline))
    assert hold.expired(4.9) == []
    assert _ids(hold.expired(5.0)) == "a1"
    assert _ids(hold.take(9)) == "a2 b1"


def test_a_stream_of_new_tenants_fills_no_memory() -> None:
    hold = Hold(1)
    for number in range(5000):
        hold.enter(Call("x", tenant=str(number)))
        hold.take(1)
    assert len(hold._turns) < 1100


@pytest.mark.parametrize(
    ("ahead", "starts_in", "per_second", "seconds"),
    [
        pytest.param(0, 0, 0, 0, id="next, workers serve"),
        pytest.param(0, 30, 0, 30, id="next, the model starts"),
        pytest.param(10, 30, 5, 32, id="ten are sent on in two seconds"),
        pytest.param(1, 0, 0, math.inf, id="nobody is served"),
        pytest.param(5, -3, 5, 1, id="the start takes longer than usual"),
    ],
)
def test_the_wait_is_the_rest_of_the_start_and_those_ahead(
    ahead: int, starts_in: float, per_second: float, seconds: float
) -> None:
    assert wait(ahead, starts_in, per_second) == seconds


@pytest.mark.parametrize(
    ("capacity", "ready_for", "calls"),
    [(8, 0, 1), (8, RAMP_SECONDS / 2, 4), (8, RAMP_SECONDS, 8), (1, 0, 1), (0, 0, 0)],
)
def test_a_new_worker_is_filled_gradually(capacity: int, ready_for: float, calls: int) -> None:
    assert opening(capacity, ready_for) == calls
