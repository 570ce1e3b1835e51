"""Who has a right to a slot, and who gives one up."""

import pytest

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import Limits, Seating, TextEntry
from lepton_worker.scheduler.neighbours import Standing
from lepton_worker.scheduler.order import Band
from lepton_worker.scheduler.rights import MOST_YIELDS, Holdings, has_right, yielding
from lepton_worker.scheduler.seats import PASSES, Seats


def a_text(name: str, growth: int = 10, priority: int = 0, computed: int = 0) -> TextEntry:
    """A text of the tenant that its first letter names."""
    entry = TextEntry(Caller(name[0], priority), 0, None, growth - 1, 1, name)
    entry.computed = computed
    return entry


@pytest.mark.parametrize(
    ("slots", "cache", "seated", "quiet", "growth", "right"),
    [
        (4, 0, "llll", "q", 10, True),
        (4, 0, "lllq", "q", 10, True),
        (4, 0, "llqq", "q", 10, False),  # half is an equal share
        (4, 0, "llll", "", 10, False),
        (2, 0, "ll", "q", 10, True),
        (1, 0, "l", "q", 10, True),  # though nobody has to give way
        (4, 100, "llll", "q", 50, True),
        (4, 100, "llll", "q", 51, False),  # of memory, too
        (4, 100, "lllq", "q", 41, False),
    ],
)
def test_a_right_ends_with_an_equal_share(
    slots: int, cache: int, seated: str, quiet: str, growth: int, right: bool
) -> None:
    limits = Limits(slots, 64, 64, cache)
    holdings = Holdings(limits, [a_text(name) for name in seated])
    standing = Standing(2, frozenset(quiet))
    assert has_right(a_text("q", growth), holdings, standing, limits) is right


@pytest.mark.parametrize(
    ("slots", "cache", "texts", "tenants", "expected"),
    [
        # the least computed first, as many as the tenant has above its share
        (4, 0, [("l1", 10, 9), ("l2", 10, 5), ("l3", 10, 7), ("l4", 10, 8)], 2, "l2 l3"),
        # the largest share first
        (6, 0, [("l1", 10, 9), ("m1", 10, 1), *((f"l{i}", 10, 9) for i in "2345")], 3, "l5 l4 l3"),
        (4, 0, [("l1", 10, 0), ("l2", 10, 0), ("q1", 10, 0), ("q2", 10, 0)], 2, ""),
        (1, 0, [("l1", 10, 0)], 2, ""),
        (2, 0, [("l1", 10, 1), ("l2", 10, 0)], 3, "l2"),  # one slot is nobody's excess
        # memory counts like slots
        (8, 100, [("l1", 30, 1), ("l2", 30, 2), ("l3", 30, 3)], 2, "l1"),
        (8, 100, [("l1", 60, 1), ("l2", 30, 2), ("m1", 10, 0)], 2, "l2"),
    ],
)
def test_who_gives_way(
    slots: int, cache: int, texts: list[tuple[str, int, int]], tenants: int, expected: str
) -> None:
    limits = Limits(slots, 64, 64, cache)
    seated = [a_text(name, growth, computed=computed) for name, growth, computed in texts]
    for place, entry in enumerate(seated):
        entry.admitted_at = place
    standing = Standing(tenants, frozenset("q"))
    found = yielding(seated, Holdings(limits, seated), standing, limits)
    assert " ".join(str(entry.job) for entry in found) == expected


class Room:
    """Seats and the queues before them, with the tenant q quiet."""

    def __init__(self, slots: int, cache: int = 0) -> None:
        self.seats = Seats(Limits(slots, 64, 64, cache))
        self.bands: dict[int, Band] = {}
        self.standing = Standing(2, frozenset("q"))

    def queue(self, name: str, growth: int = 10, priority: int = 0) -> TextEntry:
        entry = a_text(name, growth, priority)
        self.bands.setdefault(priority, Band()).add_text(entry, Costs())
        return entry

    def seat(self) -> tuple[str, str]:
        return names(self.seats.seat(self.bands, self.standing))


def names(seating: Seating) -> tuple[str, str]:
    evicted = " ".join(str(entry.job) for entry in seating.evict)
    return evicted, " ".join(str(entry.job) for entry in seating.begin)


def flooded(slots: int, cache: int = 0, priority: int = 0) -> tuple[Room, list[TextEntry]]:
    """All slots are taken by l, and more of it wait."""
    room = Room(slots, cache)
    texts = [room.queue(f"l{number}", priority=priority) for number in range(2 * slots)]
    room.seat()
    for place, text in enumerate(texts[:slots]):
        text.computed = 9 - place
    return room, texts


def test_a_newcomer_of_a_quiet_tenant_is_seated_at_once() -> None:
    room, texts = flooded(4)
    room.queue("q1")
    assert room.seat() == ("l3", "q1")
    assert (texts[3].computed, texts[3].yielded, texts[3].seated) == (0, 1, False)
    room.queue("q2")
    room.queue("q3")
    assert room.seat() == ("l2", "q2")  # the third has no right any more
    assert room.seat() == ("", "")


def test_who_gave_way_is_the_next_of_its_class_and_not_before_newcomers_with_a_right() -> None:
    room, texts = flooded(4)
    first = room.queue("q1")
    room.seat()
    room.queue("q2")
    room.seats.unseat(texts[0])
    assert room.seat() == ("", "q2")
    room.seats.unseat(first)
    assert room.seat() == ("", "l3")


def test_a_text_gives_way_only_so_often() -> None:
    room, texts = flooded(2)
    for _ in range(MOST_YIELDS):
        newcomer = room.queue("q")
        assert room.seat() == ("l1", "q")
        room.seats.unseat(newcomer)
        assert room.seat() == ("", "l1")
    room.queue("q")
    texts[0].computed = 100
    assert room.seat() == ("l0", "q")
    assert [text.yielded for text in texts[:2]] == [1, MOST_YIELDS]


def test_a_better_class_gives_way_to_nobody_and_a_worse_one_first() -> None:
    room, _ = flooded(4, priority=0)
    room.queue("q", priority=1)
    assert room.seat() == ("", "")
    room, texts = flooded(4, priority=1)
    room.queue("q", priority=0)
    assert room.seat() == ("l3", "q")
    assert texts[3].yielded == 0


def test_without_quiet_tenants_nobody_gives_way() -> None:
    room, _ = flooded(4)
    room.standing = Standing(2)
    room.queue("q")
    assert room.seat() == ("", "")


def test_newcomers_with_a_right_do_not_starve_what_waits_for_memory() -> None:
    room = Room(slots=50, cache=100)
    room.queue("l1", growth=50)
    room.seat()
    large = room.queue("l2", growth=90)
    for turn in range(PASSES + 1):  # the first is next anyway: l was served
        newcomer = room.queue(f"q{turn}", growth=5)
        assert room.seat() == ("", f"q{turn}")
        room.seats.unseat(newcomer)
    assert large.passed == PASSES
    room.queue("q", growth=5)
    assert room.seat() == ("", "")
    for entry in list(room.seats.taken):
        room.seats.unseat(entry)
    assert room.seat() == ("", "l2 q")
