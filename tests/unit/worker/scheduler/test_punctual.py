"""Texts with deadlines: who may run beside whom, who is given up, and what an overload leaves."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lepton_testing.simulation import Simulation
from lepton_worker.request import NO_OBJECTIVES, Caller, Objectives
from lepton_worker.scheduler.costs import Costs, Rates
from lepton_worker.scheduler.entries import Limits, Share, TextEntry
from lepton_worker.scheduler.order import PATIENCE
from lepton_worker.scheduler.planner import Planner
from lepton_worker.scheduler.punctual import Outlook, Punctuality

RATES = Rates(overhead=0.02, prefill=0.001, decode=0.005)
"""A text alone has a token in 25 ms, each of five in 45."""


def costs_of(*lengths: int) -> Costs:
    costs = Costs()
    for length in lengths:
        costs.finished(length)
    return costs


def outlook(now: float = 0.0, costs: Costs | None = None, crowding: float = 1.0) -> Outlook:
    return Outlook(now, RATES, costs or Costs(), crowding)


def text(
    deadline: float | None,
    new: int = 100,
    done: int = 0,
    at: float = 0.0,
    ttft: float | None = None,
    tpot: float | None = None,
    first_at: float = 0.0,
) -> TextEntry:
    """A text of exactly `new` tokens, of which `done` are there, the first since `first_at`."""
    wanted = Objectives(ttft, tpot)
    entry = TextEntry(Caller(), at, deadline, 10, new, None, least_new=new, objectives=wanted)
    if done:
        entry.length, entry.computed, entry.first_at = 10 + done, 9 + done, first_at
    return entry


# ------------------------------------------------------------------ who may run
@pytest.mark.parametrize(
    ("seated", "newcomer", "borne"),
    [
        ([], text(0.1), True),  # alone it does as well as it can
        ([text(None)] * 9, text(None), True),  # nobody is in a hurry
        ([text(9.0, done=1)] * 3, text(9.0), True),  # 100 steps of 40 ms
        ([text(3.5, done=1)] * 3, text(9.0), False),  # those who run would be late
        ([text(9.0, done=1)] * 3, text(3.5), False),  # the newcomer itself would be
        ([text(3.5, done=1)] * 3, text(None), False),  # who has no deadline makes others late too
        ([text(3.5, done=60)] * 3, text(9.0), True),  # little is left of them
        ([text(0.5, done=1)] * 3, text(9.0), True),  # they are late anyway
    ],
)
def test_a_text_gets_a_slot_if_all_who_can_be_in_time_are(
    seated: list[TextEntry], newcomer: TextEntry, borne: bool
) -> None:
    assert outlook().bears(newcomer, seated) is borne


@pytest.mark.parametrize(
    ("seated", "newcomer", "borne"),
    [
        ([text(None, done=1)] * 3, text(None, tpot=0.040), True),  # 40 ms a step for four
        ([text(None, done=1)] * 3, text(None, tpot=0.039), False),
        ([text(None, done=1, tpot=0.041)] * 3, text(None), True),
        ([text(None, done=1, tpot=0.039)] * 3, text(None), False),
        ([text(None, done=1, tpot=0.020)] * 3, text(None), True),  # too much for one alone
        # half is there in half of its time: the other half may be slower
        ([text(None, done=50, tpot=0.030, first_at=-0.4)] * 3, text(None), True),
        ([text(None, done=50, tpot=0.030, first_at=-1.4)] * 3, text(None), False),
        ([text(None, done=1)] * 3, text(None, ttft=0.06), True),  # 10 ms of prompt, 40 of step
        ([text(None, done=1)] * 3, text(None, ttft=0.04), False),
        ([text(None, ttft=0.09)] * 3, text(None), True),  # four prompts are read
        ([text(None, ttft=0.07)] * 3, text(None), False),
        ([text(None, done=1, ttft=0.01)] * 3, text(None), True),  # their first ones are there
    ],
)
def test_a_text_gets_a_slot_if_first_tokens_and_pace_stay_as_wanted(
    seated: list[TextEntry], newcomer: TextEntry, borne: bool
) -> None:
    assert outlook().bears(newcomer, seated) is borne


def test_prompts_that_are_in_steps_make_them_longer() -> None:
    seated = [text(4.5, done=1)] * 3
    assert outlook().bears(text(9.0), seated)
    assert not outlook(crowding=1.3).bears(text(9.0), seated)


def test_nobody_is_held_back_for_ever() -> None:
    seated = [text(PATIENCE + 3.5, done=1)] * 3
    waits_since = text(None)
    assert not outlook(PATIENCE - 0.1).bears(waits_since, seated)
    assert outlook(PATIENCE).bears(waits_since, seated)


# ------------------------------------------------------------------ who is given up
@pytest.mark.parametrize(
    ("entry", "lost"),
    [
        (text(None), False),
        (text(2.6), False),  # 100 tokens of 25 ms, and the prompt
        (text(2.4), False),  # an estimate is not that exact
        (text(2.0), True),
        (text(None, ttft=0.034), False),  # 10 ms of prompt, 25 of step
        (text(None, ttft=0.03), True),
        (text(9.0, ttft=0.03), True),
        (text(None, ttft=9.0, tpot=0.001), False),  # it is as fast as can be
    ],
)
def test_who_would_be_late_even_alone_is_given_up(entry: TextEntry, lost: bool) -> None:
    assert outlook().hopeless([entry]) == ([entry] if lost else [])


def test_a_text_of_unknown_length_is_taken_to_be_short() -> None:
    entry = TextEntry(Caller(), 0.0, 1.0, 10, 4000, None)
    assert outlook().hopeless([entry]) == []
    assert outlook(costs=costs_of(10, 200, 200, 200)).hopeless([entry]) == []
    assert outlook(costs=costs_of(200, 200, 200, 200)).hopeless([entry]) == [entry]


@pytest.mark.parametrize(
    ("generated", "rest", "least"),
    [(0, 30, 10), (10, 30, 10), (30, 10, 10), (40, 60, 1)],
)
def test_what_a_text_still_gets_is_learned_from_those_that_went_on_so_far(
    generated: int, rest: int, least: int
) -> None:
    costs = costs_of(10, 20, 30, 40)
    assert costs.expected_rest(generated, 0, 100) == rest
    assert costs.least_rest(generated, 0, 100) == least
    assert costs.expected_rest(generated, 90, 100) >= 90 - generated


def test_how_much_prompts_make_steps_longer_is_learned() -> None:
    costs = Costs()
    punctuality = Punctuality(costs)
    assert punctuality.outlook(0.0) is None
    seated, newcomer = [text(4.5, done=1)] * 3, text(9.0)
    for step in range(200):
        prefill, decode = 20 * (step % 3), 2 + step % 4
        seconds = RATES.seconds_for(prefill, decode)
        costs.observe(prefill, decode, seconds)
        punctuality.stepped(Share([], [], prefill, decode), seconds)
    crowded = punctuality.outlook(0.0)
    assert crowded is not None
    assert not crowded.bears(newcomer, seated)
    for _ in range(200):
        costs.observe(0, 4, RATES.seconds_for(0, 4))
        punctuality.stepped(Share([], [], 0, 4), RATES.seconds_for(0, 4))
    free = punctuality.outlook(0.0)
    assert free is not None
    assert free.bears(newcomer, seated)


def test_only_texts_that_were_never_begun_are_given_up() -> None:
    costs = Costs()
    planner = Planner(Limits(1, 100, 100, 0), costs)
    for _ in range(9):
        costs.observe(0, 1, 0.025)
    begun, waits, patient = text(0.9, ttft=0.5), text(None, ttft=0.5), text(None)
    for entry in (begun, waits, patient):
        planner.add(entry)
    assert planner.seat(0.0).begin == [begun]
    assert planner.give_up(0.4) == []
    assert planner.give_up(0.6) == [waits]
    assert waits not in planner
    assert planner.give_up(9.0) == []
    assert planner.waiting == planner.running == 1


def test_the_first_token_is_noted_with_the_step_behind_it() -> None:
    planner = Planner(Limits(1, 100, 100, 0), Costs())
    entry = text(None, tpot=1.0)
    planner.add(entry)
    planner.seat(1.0)
    planner.share(1.0)
    assert entry.first_at is None
    entry.computed, entry.length = 10, 11
    planner.share(2.0)
    entry.computed, entry.length = 11, 12
    planner.share(3.0)
    assert entry.first_at == 2.0


# ------------------------------------------------------------------ an overload
SLOTS = 16
SECONDS = 60
CPU = Rates(overhead=0.021, prefill=0.001, decode=0.005)


@dataclass
class Result:
    """How an overload ended."""

    asked: int
    in_time: int
    good: int
    late: int
    given_up: int


def overload(rate: float, machine: Rates = CPU, objectives: Objectives = NO_OBJECTIVES) -> Result:
    """So many texts a second of drawn lengths, each with 1 s and twice its own pace as deadline.

    Good are those with a first token within 1 s and at most twice that pace.
    """
    rng = random.Random(7)
    simulation = Simulation(Limits(SLOTS, 512, 256, 0), random.Random(3), machine=machine)
    pace = 2 * machine.seconds_for(0, 1)
    asked: list[TextEntry] = []
    draw = drawing(rng)
    moments = [rng.expovariate(rate)]
    while moments[-1] < SECONDS:
        moments.append(moments[-1] + rng.expovariate(rate))
    coming = iter(moments[:-1])
    moment = next(coming, None)
    while moment is not None or simulation.planner.waiting + simulation.planner.running:
        while moment is not None and moment <= simulation.now:
            prompt, new = draw(40, 1.05, 512), draw(45, 0.73, 200)
            entry = text(moment + 1 + new * pace, new, at=moment)
            entry.prompt = entry.length = prompt
            entry.objectives = objectives
            asked.append(entry)
            simulation.goals[entry] = new
            simulation.planner.add(entry)
            moment = next(coming, None)
        if simulation.planner.waiting + simulation.planner.running:
            simulation.step()
        elif moment is not None:
            simulation.now = moment
    good = sum(_good(entry, simulation.done.get(entry), pace) for entry in asked)
    late, given_up = len(simulation.late), len(simulation.given_up)
    return Result(len(asked), len(simulation.done), good, late, given_up)


def _good(entry: TextEntry, ended: float | None, pace: float) -> bool:
    if ended is None or entry.first_at is None:
        return False
    return entry.first_at - entry.admitted_at < 1 and ended - entry.first_at <= pace * (
        entry.generated - 1
    )


def drawing(rng: random.Random) -> Callable[[float, float, int], int]:
    """Draws log-normal lengths of at least 8, by median, spread and largest."""

    def draw(median: float, sigma: float, most: int) -> int:
        return min(max(round(math.exp(rng.gauss(math.log(median), sigma))), 8), most)

    return draw


@pytest.mark.parametrize("rate", [2.7, 4.2, 8.4])
def test_twice_and_four_times_the_load_leave_as_many_answers_in_time(rate: float) -> None:
    below, above = overload(1.6), overload(rate)
    assert below.in_time >= 0.8 * below.asked
    assert above.in_time >= below.in_time
    assert above.in_time + above.late + above.given_up == above.asked
    assert above.late <= 0.05 * above.asked  # work for nothing


MACHINES = {
    "prompts cost little": Rates(overhead=0.03, prefill=0.0005, decode=0.003),
    "prompts cost much": Rates(overhead=0.02, prefill=0.0025, decode=0.005),
    "texts cost little": Rates(overhead=0.02, prefill=0.00002, decode=0.0005),
}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
@pytest.mark.parametrize("rate", [3.5, 7.0])
def test_an_overload_leaves_as_many_good_answers_if_callers_say_what_is_good(
    machine: Rates, rate: float
) -> None:
    rate *= 5 if machine.decode < 0.001 else 1
    wanted = Objectives(ttft=1.0, tpot=2 * machine.seconds_for(0, 1))
    peak = max(overload(share * rate, machine, wanted).good for share in (0.25, 0.5, 1.0))
    above = overload(rate, machine, wanted)
    assert above.good >= 0.9 * peak
    assert above.good >= 0.95 * above.in_time  # little is begun that does not become good
    assert above.good > overload(rate, machine).good
