"""Waiting ends as soon as it can and no later than it must."""

import pytest

from localcluster.errors import DeadlinePassed
from localcluster.waiting import until


class Time:
    """A clock that moves only by pausing."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_what_is_there_is_not_waited_for() -> None:
    time = Time()
    assert until(lambda: "yes", "it", 5, clock=time.clock, pause=time.pause) == "yes"
    assert time.now == 0


def test_the_probe_is_asked_again_until_it_answers() -> None:
    time = Time()
    answers = iter([None, "", "yes"])
    assert until(lambda: next(answers), "it", 5, clock=time.clock, pause=time.pause) == "yes"


def test_the_deadline_is_kept_and_named() -> None:
    time = Time()
    with pytest.raises(DeadlinePassed, match="the pod: not within 5 s"):
        until(lambda: None, "the pod", 5, clock=time.clock, pause=time.pause)
    assert time.now == pytest.approx(5)
