"""The queue in order: classes, in each the tenants, in each of those the requests."""

import heapq
import itertools
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs
from lepton_worker.scheduler.entries import Entry, ListEntry, TextEntry
from lepton_worker.scheduler.fairness import INPUT_WEIGHT, Fairness, Rotation

PATIENCE = 30.0
"""Seconds after which a request goes by its arrival, however much time its deadline leaves."""

E = TypeVar("E", bound=Entry)


class Line(Generic[E]):
    """Entries sorted by a number, and among equal ones in the order in which they came."""

    def __init__(self) -> None:
        self._items: list[tuple[float, int, E]] = []
        self._keys: dict[E, tuple[float, int]] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, entry: object) -> bool:
        return entry in self._keys

    def __getitem__(self, place: int) -> E:
        return self._items[place][2]

    def __iter__(self) -> Iterator[E]:
        return (item[2] for item in self._items)

    def key(self, entry: E) -> float:
        """The number by which the entry is sorted."""
        return self._keys[entry][0]

    def add(self, entry: E, key: float) -> None:
        """Sort an entry in."""
        self._keys[entry] = (key, next(self._numbers))
        insort(self._items, (*self._keys[entry], entry))

    def move(self, entry: E, key: float) -> None:
        """Sort an entry in anew; among equal ones it keeps its place."""
        number = self._keys[entry][1]
        self.discard(entry)
        self._keys[entry] = (key, number)
        insort(self._items, (key, number, entry))

    def discard(self, entry: E) -> bool:
        """Take an entry out; False if it is not there."""
        key = self._keys.pop(entry, None)
        if key is None:
            return False
        del self._items[bisect_left(self._items, key, key=lambda item: item[:2])]
        return True

    def until(self, key: float) -> list[E]:
        """The entries whose number is not above `key`."""
        return [item[2] for item in itertools.takewhile(lambda item: item[0] <= key, self._items)]


class Walk(Generic[E]):
    """Goes through the lines of a class: whose turn it is first, then down that tenant's line.

    `first` is a line that goes before all tenants. For each entry from `next`, the caller either
    takes it (changes its line, charges the tenant, and says `took`) or leaves it where it is
    (`skip`).
    """

    def __init__(
        self, fairness: Fairness, lines: Mapping[str, Line[E]], first: Line[E] | None = None
    ) -> None:
        self._fairness = fairness
        self._tenants: list[str | None] = [*lines]
        self._lines = [*lines.values()]
        self._heap = [(*fairness.rank(tenant), i) for i, tenant in enumerate(lines)]
        heapq.heapify(self._heap)
        if first:
            self._tenants.append(None)
            self._lines.append(first)
            heapq.heappush(self._heap, (*self._rank(None), len(lines)))
        self._skipped = [0] * len(self._lines)

    def _rank(self, tenant: str | None) -> tuple[float, int]:
        return (-math.inf, 0) if tenant is None else self._fairness.rank(tenant)

    def next(self) -> E | None:
        """The next entry, None at the end."""
        if not self._heap:
            return None
        index = self._heap[0][2]
        return self._lines[index][self._skipped[index]]

    def took(self) -> None:
        """The entry was taken and paid for."""
        tenant = self._tenants[self._heap[0][2]]
        if tenant is not None:
            self._fairness.chosen(tenant)
        self._sort()

    def skip(self) -> None:
        """The entry stays; behind it comes the next of the same tenant."""
        self._skipped[self._heap[0][2]] += 1
        self._sort()

    def _sort(self) -> None:
        index = self._heap[0][2]
        if self._skipped[index] < len(self._lines[index]):
            heapq.heapreplace(self._heap, (*self._rank(self._tenants[index]), index))
        else:
            heapq.heappop(self._heap)


class Band:
    """What waits in one class.

    `returned` are texts that had to give up their slots: they go before all others of the class,
    in the order of their admission. A tenant's texts are sorted by slack, its lists by fair turns.
    """

    def __init__(self) -> None:
        self.fairness = Fairness()
        self.returned: Line[TextEntry] = Line()
        self.texts: dict[str, Line[TextEntry]] = {}
        self.lists: dict[str, Line[ListEntry]] = {}
        self._rotations: dict[str, Rotation] = {}

    @property
    def has_texts(self) -> bool:
        """Whether a text waits for a slot."""
        return bool(self.returned or self.texts)

    @property
    def idle(self) -> bool:
        """Whether nothing waits here."""
        return not (self.has_texts or self.lists)

    def add_text(self, entry: TextEntry, costs: Costs) -> None:
        """Queue a new text."""
        tenant = entry.caller.tenant
        self.fairness.enter(tenant)
        self.texts.setdefault(tenant, Line()).add(entry, latest_start(entry, costs))

    def add_list(self, entry: ListEntry) -> None:
        """Queue the inputs of a new list."""
        tenant = entry.caller.tenant
        self.fairness.enter(tenant)
        rotation = self._rotations.setdefault(tenant, Rotation())
        self.lists.setdefault(tenant, Line()).add(entry, rotation.time)

    def walk_texts(self) -> Walk[TextEntry]:
        """The waiting texts, in their order."""
        return Walk(self.fairness, self.texts, self.returned)

    def lists_of(self, wanted: Callable[[Caller], bool]) -> dict[str, Line[ListEntry]]:
        """The lists of the tenants of whom one is wanted, by tenant."""
        return {tenant: line for tenant, line in self.lists.items() if wanted(line[0].caller)}

    def begin(self, entry: TextEntry) -> None:
        """Take a text out of the queue for a slot and charge its prompt, unless that was done."""
        self.discard(entry)
        if not entry.charged:
            self.fairness.charge(entry.caller.tenant, INPUT_WEIGHT * entry.prompt)
            entry.charged = True

    def give_back(self, entry: TextEntry) -> None:
        """Queue a text again that was evicted; what was charged for it stays charged."""
        self.returned.add(entry, entry.admitted_at)

    def discard(self, entry: Entry) -> bool:
        """Take an entry out of the queue; False if it does not wait here."""
        if isinstance(entry, ListEntry):
            gone = self._drop(entry, self.lists)
            if entry.caller.tenant not in self.lists:
                self._rotations.pop(entry.caller.tenant, None)
            return gone
        return self.returned.discard(entry) or self._drop(entry, self.texts)

    def _drop(self, entry: E, lines: dict[str, Line[E]]) -> bool:
        tenant = entry.caller.tenant
        line = lines.get(tenant)
        if line is None or not line.discard(entry):
            return False
        if not line:
            del lines[tenant]
        self.fairness.leave(tenant)
        return True

    def charge_inputs(self, entry: ListEntry, tokens: int) -> None:
        """Count inputs that were taken from a list, and let it wait for its next turn."""
        tenant = entry.caller.tenant
        self.fairness.charge(tenant, INPUT_WEIGHT * tokens)
        line = self.lists[tenant]
        self._rotations[tenant].served(tokens, len(line))
        if entry.pending:
            line.move(entry, line.key(entry) + tokens)
        else:
            self.discard(entry)


def latest_start(entry: TextEntry, costs: Costs) -> float:
    """When a text has to begin to be in time: least slack first is the order of these.

    Never before its arrival and at most PATIENCE behind it: so those that can overtake a text all
    come within PATIENCE of it, and none waits for ever behind more urgent ones.
    """
    latest = entry.admitted_at + PATIENCE
    if entry.urgent_at is None:
        return latest
    reading = costs.seconds_for(entry.prompt, 0)
    if entry.deadline is not None:
        new_tokens = costs.expected_new(entry.most_new)
        latest = min(latest, entry.deadline - reading - new_tokens * costs.seconds_for(0, 1))
    if entry.first_by is not None:
        latest = min(latest, entry.first_by - reading)
    return max(latest, entry.admitted_at)
