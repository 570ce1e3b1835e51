"""Who gets a slot, who gives one up."""

from dataclasses import dataclass, field

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import Limits, Seating, TextEntry
from lepton_worker.scheduler.order import Band
from lepton_worker.scheduler.seats import LOOK_AHEAD, PASSES, Seats


@dataclass
class Room:
    """Seats and the queues before them."""

    slots: int
    cache: int = 0
    bands: dict[int, Band] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seats = Seats(Limits(self.slots, 64, 64, self.cache))

    def queue(self, name: str, growth: int = 10, priority: int = 0, tenant: str = "") -> TextEntry:
        entry = TextEntry(Caller(tenant, priority), 0, None, growth - 1, 1, name)
        self.bands.setdefault(priority, Band()).add_text(entry, Costs())
        return entry

    def seat(self) -> tuple[str, str]:
        return names(self.seats.seat(self.bands))


def names(seating: Seating) -> tuple[str, str]:
    evicted = "".join(str(entry.job) for entry in seating.evict)
    return evicted, "".join(str(entry.job) for entry in seating.begin)


@pytest.mark.parametrize(
    ("slots", "cache", "growths", "begin"),
    [
        (2, 0, [10, 10, 10], "ab"),
        (3, 25, [10, 10, 10], "ab"),
        (3, 30, [10, 10, 10], "abc"),
        (3, 29, [20, 10, 9], "ac"),  # b does not fit beside a, c does
        (2, 30, [30, 10, 10], "a"),
    ],
)
def test_a_slot_and_room_to_grow(slots: int, cache: int, growths: list[int], begin: str) -> None:
    room = Room(slots, cache)
    for name, growth in zip("abc", growths, strict=True):
        room.queue(name, growth)
    assert room.seat() == ("", begin)
    assert room.seats.reserved <= (cache or 1000)
    assert room.seat() == ("", "")


def test_a_better_class_goes_first_and_a_worse_one_waits_for_all_of_it() -> None:
    room = Room(slots=4, cache=30)
    room.queue("w", growth=5, priority=3)
    big = room.queue("a", growth=20)
    room.queue("b", growth=20)
    assert room.seat() == ("", "a")  # w would fit, but b waits
    room.seats.unseat(big)
    assert room.seat() == ("", "bw")


def test_what_waits_too_long_for_memory_is_passed_no_more() -> None:
    room = Room(slots=50, cache=1000)
    holder = room.queue("h", growth=100)
    room.seat()
    large = room.queue("L", growth=950)
    for turn in range(PASSES):
        room.queue(str(turn))
        assert room.seat() == ("", str(turn))
    assert large.passed == PASSES
    room.queue("x")
    assert room.seat() == ("", "")
    for entry in list(room.seats.taken):
        room.seats.unseat(entry)
    assert room.seat() == ("", "Lx")
    assert holder not in room.seats.taken


def test_only_so_many_are_tried_behind_one_that_does_not_fit() -> None:
    room = Room(slots=50, cache=100)
    room.queue("h", growth=95)
    room.seat()
    for _ in range(LOOK_AHEAD + 1):
        room.queue("L", growth=50)
    room.queue("s", growth=5)
    assert room.seat() == ("", "")


def running(room: Room, *texts: tuple[str, int, int, int]) -> dict[str, TextEntry]:
    """Seat texts, given as name, growth, class and tokens computed."""
    entries = {}
    for name, growth, priority, computed in texts:
        entries[name] = room.queue(name, growth, priority)
        room.seat()
        entries[name].computed = computed
    assert [entry.job for entry in room.seats.taken] == list(entries)
    return entries


@pytest.mark.parametrize(
    ("texts", "growth", "priority", "evicted", "begun"),
    [
        # the worst class first
        ([("a", 10, 1, 5), ("b", 10, 2, 9)], 10, 0, "b", "n"),
        # in it the one with the least computed
        ([("a", 10, 1, 5), ("b", 10, 1, 9)], 10, 0, "a", "n"),
        # nobody of the same or a better class
        ([("a", 10, 1, 5), ("b", 10, 1, 9)], 10, 1, "", ""),
        ([("a", 10, 0, 5), ("b", 10, 0, 9)], 10, 1, "", ""),
        # as many as it takes, for the memory
        ([("a", 15, 1, 5), ("b", 15, 1, 9)], 25, 0, "ab", "n"),
        # those that turn out not to help are spared
        ([("a", 5, 1, 5), ("b", 25, 1, 9)], 20, 0, "b", "n"),
        # and nobody if that is not enough
        ([("a", 20, 0, 5), ("b", 10, 1, 9)], 20, 0, "", ""),
    ],
)
def test_who_is_evicted(
    texts: list[tuple[str, int, int, int]], growth: int, priority: int, evicted: str, begun: str
) -> None:
    room = Room(slots=2, cache=30)
    entries = running(room, *texts)
    room.queue("n", growth, priority)
    assert room.seat() == (evicted, begun)
    for name in evicted:
        assert not entries[name].seated
        assert entries[name].computed == 0


def test_among_equals_the_youngest_is_evicted() -> None:
    room = Room(slots=2)
    entries = running(room, ("a", 10, 1, 5), ("b", 10, 1, 5))
    entries["a"].admitted_at, entries["b"].admitted_at = 7.0, 3.0
    room.queue("n")
    assert room.seat() == ("a", "n")


def test_who_was_evicted_is_the_next_of_its_class() -> None:
    room = Room(slots=1)
    running(room, ("a", 10, 1, 5))
    room.queue("b", priority=1, tenant="never served")
    new = room.queue("n")
    assert room.seat() == ("a", "n")
    room.seats.unseat(new)
    assert room.seat() == ("", "a")


def test_nobody_takes_a_place_in_the_round_in_which_it_was_lost() -> None:
    room = Room(slots=4, cache=30)
    running(room, ("a", 20, 1, 5))
    room.queue("b", growth=12, priority=1)  # fits beside n, where a does not
    room.queue("n", growth=15)
    assert room.seat() == ("a", "n")
    assert room.seat() == ("", "b")
