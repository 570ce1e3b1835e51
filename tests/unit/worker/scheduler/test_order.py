"""The order of what waits."""

import random

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import ListEntry, TextEntry
from lepton_worker.scheduler.order import PATIENCE, Band, Line, Walk, latest_start


def a_text(
    tenant: str = "", at: float = 0, deadline: float | None = None, prompt: int = 10
) -> TextEntry:
    return TextEntry(Caller(tenant), at, deadline, prompt, 10, None)


def known_costs() -> Costs:
    """10 ms a step, and 1 ms for each token of either kind."""
    costs = Costs()
    for prefill, decode in [(100, 0), (0, 1), (50, 2), (10, 8), (200, 4), (0, 16)] * 10:
        costs.observe(prefill, decode, 0.01 + 0.001 * (prefill + decode))
    return costs


def test_a_line_is_sorted_and_keeps_the_order_of_arrival() -> None:
    line: Line[TextEntry] = Line()
    first, second, third, fourth = (a_text() for _ in range(4))
    for entry, key in ((first, 2.0), (second, 1.0), (third, 2.0), (fourth, 1.0)):
        line.add(entry, key)
    assert list(line) == [second, fourth, first, third]
    assert line[1] is fourth
    line.move(second, 2.0)
    assert list(line) == [fourth, first, second, third]
    assert line.until(1.5) == [fourth]
    assert line.discard(first)
    assert not line.discard(first)
    assert first not in line
    assert line.key(third) == 2.0


def test_a_line_survives_any_removals() -> None:
    rng = random.Random(3)
    line: Line[TextEntry] = Line()
    kept: dict[TextEntry, float] = {}
    for _ in range(500):
        entry = a_text()
        kept[entry] = rng.randint(0, 9)
        line.add(entry, kept[entry])
        if rng.random() < 0.5:
            gone = rng.choice(list(kept))
            del kept[gone]
            assert line.discard(gone)
    assert list(line) == sorted(kept, key=lambda entry: kept[entry])


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        (None, 100 + PATIENCE),
        (1000.0, 100 + PATIENCE),  # far away is no reason to wait longer
        (110.0, 110 - 0.02 - 10 * 0.011),  # the prompt's step, then ten tokens
        (100.05, 100.0),  # hopeless: by arrival
    ],
)
def test_a_text_has_to_begin_in_time(deadline: float | None, expected: float) -> None:
    entry = a_text(at=100, deadline=deadline)
    assert latest_start(entry, known_costs()) == pytest.approx(expected, rel=1e-6, abs=1e-3)


def walked(band: Band) -> list[TextEntry]:
    """All texts of a band in the order in which they would begin."""
    walk, order = band.walk_texts(), []
    while (entry := walk.next()) is not None:
        band.begin(entry)
        walk.took()
        order.append(entry)
    return order


def queued(*entries: TextEntry) -> Band:
    band, costs = Band(), known_costs()
    for entry in entries:
        band.add_text(entry, costs)
    return band


def test_within_a_tenant_the_least_slack_is_first_then_arrival() -> None:
    calm, later, urgent = a_text(at=0), a_text(at=1), a_text(at=2, deadline=5)
    assert walked(queued(calm, later, urgent)) == [urgent, calm, later]


def test_longer_work_has_less_slack() -> None:
    short, long = a_text(deadline=5, prompt=10), a_text(at=1, deadline=5, prompt=3000)
    assert walked(queued(short, long)) == [long, short]


def test_tenants_take_turns_by_tokens() -> None:
    many = [a_text("a", at=i, prompt=10) for i in range(4)]
    few = [a_text("b", at=i, prompt=30) for i in range(4, 6)]
    a1, a2, a3, a4 = many
    b1, b2 = few
    # after a1 and b1: 10 against 30, so a catches up; at 30 each a was chosen more recently
    assert walked(queued(*many, *few)) == [a1, b1, a2, a3, b2, a4]


def test_urgency_of_one_tenant_does_not_help_it_against_others() -> None:
    first = [a_text("a", deadline=50, prompt=100), a_text("a", deadline=1, prompt=100)]
    other = a_text("b", prompt=100)
    assert walked(queued(*first, other)) == [first[1], other, first[0]]


def test_who_was_evicted_is_first_and_pays_once() -> None:
    one, two = a_text("a", prompt=40), a_text("b", prompt=5)
    band = queued(one, two)
    band.begin(one)
    band.give_back(one)
    assert band.fairness.counter("a") == 40
    assert walked(band) == [one, two]
    assert band.fairness.counter("a") == 40
    assert band.idle


def test_skipped_ones_stay_in_front() -> None:
    entries = [a_text(at=i) for i in range(4)]
    band = queued(*entries)
    walk = band.walk_texts()
    walk.skip()
    taken = walk.next()
    assert taken is entries[1]
    band.begin(taken)
    walk.took()
    assert walk.next() is entries[2]
    walk.skip()
    walk.skip()
    assert walk.next() is None
    assert walked(band) == [entries[0], entries[2], entries[3]]


def test_lists_are_turned_and_leave_when_they_are_taken() -> None:
    band = Band()
    one, two = (ListEntry(Caller("a"), 0, None, [5, 5], None) for _ in range(2))
    band.add_list(one)
    band.add_list(two)
    order = []
    walk = Walk(band.fairness, band.lists)
    while (entry := walk.next()) is not None:
        entry.take(None)
        band.charge_inputs(entry, 5)
        walk.took()
        order.append(entry)
    assert order == [one, two, one, two]
    assert band.idle
    assert band.fairness.counter("a") == 20
    assert not band.discard(one)
