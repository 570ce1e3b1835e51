"""The planner under random loads, driven by an engine whose clock counts steps."""

import random

import pytest

from lepton_testing.simulation import Simulation
from lepton_worker.request import Caller
from lepton_worker.scheduler.entries import Entry, Limits

SEEDS = range(2)


def anyone(rng: random.Random) -> Caller:
    return Caller(rng.choice("abcd"), rng.choice([0, 0, 0, 5]))


def a_request(simulation: Simulation, rng: random.Random, deadline: float | None = None) -> Entry:
    if rng.random() < 0.4:
        lengths = [rng.randint(1, 300) for _ in range(rng.randint(1, 12))]
        return simulation.inputs(anyone(rng), lengths, deadline)
    return simulation.text(anyone(rng), rng.randint(1, 400), rng.randint(1, 40), deadline)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cache_tokens", [0, 500, 2000])
@pytest.mark.parametrize("cached", [False, True])
def test_everything_ends_and_no_reservation_is_exceeded(
    seed: int, cache_tokens: int, cached: bool
) -> None:
    rng = random.Random(seed)
    simulation = Simulation(Limits(8, 256, 64, cache_tokens), rng, cached)
    entries = []
    for _ in range(80):
        entries += [a_request(simulation, rng) for _ in range(rng.choice([0, 0, 1, 3]))]
        simulation.step()
    simulation.finish(20_000)
    assert set(simulation.done) == set(entries)
    assert simulation.planner.cache_reserved == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_evicted_goes_on_where_it_was(seed: int) -> None:
    rng = random.Random(seed)
    simulation = Simulation(Limits(4, 256, 64, 1500), rng)
    for _ in range(300):
        if rng.random() < 0.2:
            priority = rng.choice([0, 1, 2, 2, 2, 2])
            caller = Caller(rng.choice("ab"), priority)
            simulation.text(caller, rng.randint(1, 300), rng.randint(1, 60))
        simulation.step()
    simulation.finish(20_000)
    assert len(simulation.evicted) > 5
    for entry in simulation.evicted:
        assert entry.generated == simulation.goals[entry]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_expired_is_never_planned(seed: int) -> None:
    rng = random.Random(seed)
    simulation = Simulation(Limits(4, 128, 64, 1000), rng)
    entries = []
    for _ in range(300):
        if rng.random() < 0.5:
            deadline = simulation.now + rng.randint(1, 60)
            entries.append(a_request(simulation, rng, deadline))
        simulation.step()
    simulation.finish(100)  # by then every deadline has passed
    assert simulation.late
    assert simulation.done
    assert set(simulation.late).isdisjoint(simulation.done)
    assert set(simulation.late) | set(simulation.done) == set(entries)


def test_cancellations_leave_nothing() -> None:
    rng = random.Random(1)
    simulation = Simulation(Limits(8, 256, 64, 3000), rng, cached=True)
    planner = simulation.planner
    in_hand: list[Entry] = []
    cancelled = 0
    while cancelled < 10_000:
        deadlines = [simulation.now + rng.randint(50, 10_000) for _ in range(20)]
        in_hand += [a_request(simulation, rng, deadline) for deadline in deadlines]
        simulation.step()
        in_hand = [entry for entry in in_hand if entry in planner]
        for _ in range(min(len(in_hand), rng.randint(10, 30))):
            entry = in_hand.pop(rng.randrange(len(in_hand)))
            planner.remove(entry)
            planner.remove(entry)
            cancelled += 1
    for entry in in_hand:
        planner.remove(entry)
    assert (planner.waiting, planner.running, planner.waiting_tokens) == (0, 0, 0)
    assert (planner.cache_used, planner.cache_reserved) == (0, 0)
    assert planner.expire(1e9) == []
    assert not planner.seat(simulation.now).begin
    assert not planner.share(simulation.now)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["texts", "lists"])
def test_two_tenants_that_always_wait_are_served_alike(seed: int, kind: str) -> None:
    """Sheng et al., theorem 4.4: 2 x max(longest prompt, 2 x tokens in the batch)."""
    rng = random.Random(seed)
    slots, longest, most_new = 4, 400, 60
    simulation = Simulation(Limits(slots, 256, 64, 0), rng)
    bound = 2 * max(longest, 2 * slots * (longest + most_new))
    if kind == "lists":
        bound = 2 * longest
    waiting: dict[str, list[Entry]] = {"a": [], "b": []}
    largest = 0.0
    for _ in range(2000):
        for tenant, entries in waiting.items():
            entries[:] = [entry for entry in entries if entry in simulation.planner]
            while len(entries) < 10:
                entries.append(_unequal(simulation, rng, tenant, kind, longest, most_new))
        simulation.step()
        gap = abs(simulation.served["a"] - simulation.served["b"])
        largest = max(largest, gap)
    assert largest <= bound
    assert min(simulation.served.values()) > 2 * bound


def _unequal(
    simulation: Simulation, rng: random.Random, tenant: str, kind: str, longest: int, most_new: int
) -> Entry:
    """Tenant a asks for long ones, b for short ones."""
    top = longest if tenant == "a" else 30
    if kind == "lists":
        return simulation.inputs(Caller(tenant), [rng.randint(1, top) for _ in range(8)])
    return simulation.text(Caller(tenant), rng.randint(1, top), rng.randint(1, most_new - 4))


def response_times(seed: int, kind: str, flood: bool) -> list[float]:
    """Steps that each request of one tenant takes, alone or beside one that asks tenfold."""
    rng, noise = random.Random(seed), random.Random(seed + 1)
    simulation = Simulation(Limits(8, 256, 128, 8000), random.Random(seed + 2))
    mine: list[tuple[Entry, float]] = []
    flooding: list[Entry] = []
    for step in range(1200):
        if step % 40 == 0:
            entry = _typical(simulation, rng, "victim", kind)
            mine.append((entry, simulation.now))
        if flood and step % 4 == 0:
            flooding.append(_typical(simulation, noise, "flood", kind))
        simulation.step()
    simulation.finish(200_000)
    return sorted(simulation.done[entry] - at for entry, at in mine)


def _typical(simulation: Simulation, rng: random.Random, tenant: str, kind: str) -> Entry:
    if kind == "lists":
        lengths = [rng.randint(10, 120) for _ in range(30 if tenant == "flood" else 2)]
        return simulation.inputs(Caller(tenant), lengths)
    return simulation.text(Caller(tenant), rng.randint(10, 200), rng.randint(20, 80))


@pytest.mark.parametrize("kind", ["texts", "lists"])
def test_a_flooding_neighbour_costs_the_victim_little(kind: str) -> None:
    alone, beside = response_times(1, kind, flood=False), response_times(1, kind, flood=True)
    for place in (len(alone) // 2, int(0.95 * len(alone))):
        assert beside[place] <= 1.5 * alone[place] + 1


def test_new_short_lists_do_not_starve_a_long_one_of_the_same_tenant() -> None:
    rng = random.Random(1)
    simulation = Simulation(Limits(1, 128, 64, 0), rng)
    long = simulation.inputs(Caller("a"), [100] * 10)
    for _ in range(2000):
        while simulation.planner.waiting < 20:
            simulation.inputs(Caller("a"), [64])
        simulation.step()
        if long in simulation.done:
            break
    assert long in simulation.done


def test_small_texts_do_not_starve_a_large_one() -> None:
    rng = random.Random(1)
    simulation = Simulation(Limits(8, 256, 64, 1000), rng)
    simulation.text(Caller("a"), 300, 30)
    simulation.step()
    large = simulation.text(Caller("a"), 900, 10)
    for _ in range(2000):
        if rng.random() < 0.5:
            simulation.text(Caller(rng.choice("ab")), rng.randint(10, 100), rng.randint(10, 30))
        simulation.step()
        if large in simulation.done:
            break
    assert large in simulation.done
