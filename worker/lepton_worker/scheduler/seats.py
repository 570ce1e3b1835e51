"""The slots: who has one, who gets one, and who has to give it up.

A text is seated when a slot is free and its full growth, prompt and most new tokens, fits into the
cache beside that of all others seated: so a text once begun never runs out of memory. A text with
several rows takes as many slots, or all of them where there are fewer. In a class the order is that
of `order.Band`. If the next text does not fit, up to LOOK_AHEAD behind it are tried, but once
PASSES others went past it, all wait until it fits, so that small texts cannot starve a large one.

A text of a better class evicts those of worse ones if that makes it fit: the worst class first, in
it the one with the least computed, then the youngest. In the same class, newcomers of quiet tenants
(`neighbours`) go first as long as they have a right to a slot, and evict texts of tenants that have
more than an equal share (`rights`); nobody else is evicted for one of its own class.
"""

from lepton_worker.scheduler.entries import Limits, Seating, TextEntry
from lepton_worker.scheduler.neighbours import ALONE, Standing
from lepton_worker.scheduler.order import Band
from lepton_worker.scheduler.punctual import Outlook
from lepton_worker.scheduler.rights import Holdings, has_right, yielding

PASSES = 8
LOOK_AHEAD = 16


class Seats:
    """The texts that have a slot, in the order in which they got it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.taken: dict[TextEntry, None] = {}
        self.reserved = 0
        self.held_back = False
        self._used = 0
        self._outlook: Outlook | None = None

    def seat(
        self, bands: dict[int, Band], standing: Standing = ALONE, outlook: Outlook | None = None
    ) -> Seating:
        """Fill the slots from the queues of the classes, the best first.

        A class begins nothing while a better one waits. Where somebody was evicted, the worse
        classes wait until the next time, so that nobody takes the place of who has just lost it.
        """
        seating = Seating()
        self._outlook, self.held_back = outlook, False
        for priority in sorted(bands):
            band = bands[priority]
            if band.has_texts:
                self._seat_quiet(priority, band, standing, seating)
                if not seating.evict:
                    self._fill(priority, band, seating)
                if band.has_texts or seating.evict:
                    break
        for entry in seating.evict:
            bands[entry.caller.priority].give_back(entry)
        return seating

    def unseat(self, entry: TextEntry) -> None:
        """Take the slot from a text."""
        del self.taken[entry]
        entry.seated = False
        self.reserved -= entry.growth
        self._used -= self._slots(entry)

    def _seat_quiet(self, priority: int, band: Band, standing: Standing, seating: Seating) -> None:
        """Seat the newcomers of quiet tenants that have a right to a slot."""
        ranked = [tenant for tenant in band.texts if tenant in standing.quiet]
        for tenant in sorted(ranked, key=band.fairness.rank):
            while line := band.texts.get(tenant):
                entry = line[0]
                head = band.walk_texts().next()
                if head is None or head.passed >= PASSES:
                    return
                holdings = Holdings(self._limits, self.taken)
                if not has_right(entry, holdings, standing, self._limits):
                    break
                worse = [other for other in self.taken if other.caller.priority > priority]
                peers = [other for other in self.taken if other.caller.priority == priority]
                spare = yielding(peers, holdings, standing, self._limits)
                if not self._make_room(entry, sorted(worse, key=_loss) + spare, seating):
                    break
                lacks_memory = not self._has_memory(head)
                self._begin(entry, band, seating)
                band.fairness.chosen(tenant)
                if head is not entry and lacks_memory:
                    head.passed += 1

    def _begin(self, entry: TextEntry, band: Band, seating: Seating) -> None:
        band.begin(entry)
        self._take(entry)
        seating.begin.append(entry)

    def _fill(self, priority: int, band: Band, seating: Seating) -> None:
        worse = [entry for entry in self.taken if entry.caller.priority > priority]
        if self._full(worse):
            return
        skipped: list[TextEntry] = []
        walk = band.walk_texts()
        tried = 0
        while (entry := walk.next()) is not None:
            if self._make_room(entry, sorted(worse, key=_loss), seating):
                worse = [other for other in worse if other.seated]
                self._begin(entry, band, seating)
                walk.took()
                for other in skipped:
                    other.passed += 1
            else:
                tried += 1
                walk.skip()
                if self._has_room(entry, worse):
                    self.held_back = True
                else:
                    skipped.append(entry)
            blocked = any(other.passed >= PASSES for other in skipped)
            if blocked or tried > LOOK_AHEAD or self._full(worse):
                return

    def _full(self, worse: list[TextEntry]) -> bool:
        return self._used >= self._limits.slots and not worse

    def _take(self, entry: TextEntry) -> None:
        self.taken[entry] = None
        self.reserved += entry.growth
        self._used += self._slots(entry)
        entry.seated = True
        entry.passed = 0

    def _slots(self, entry: TextEntry) -> int:
        """Slots that a text takes."""
        return min(entry.rows, self._limits.slots)

    def _make_room(self, entry: TextEntry, others: list[TextEntry], seating: Seating) -> bool:
        """Whether the text can be seated now; evicts from `others` if that is what it takes."""
        victims: list[TextEntry] = []
        candidates = (other for other in others if other not in seating.begin)
        while not self._fits(entry, victims):
            victim = next(candidates, None)
            if victim is None:
                return False
            victims.append(victim)
        for victim in list(victims):
            spared = [other for other in victims if other is not victim]
            if self._fits(entry, spared):
                victims = spared
        for victim in victims:
            self.unseat(victim)
            victim.computed = 0
            victim.yielded += victim.caller.priority == entry.caller.priority
            seating.evict.append(victim)
        return True

    def _fits(self, entry: TextEntry, victims: list[TextEntry]) -> bool:
        if not self._has_room(entry, victims):
            return False
        if self._outlook is None:
            return True
        stay = [other for other in self.taken if other not in victims]
        return self._outlook.bears(entry, stay)

    def _has_room(self, entry: TextEntry, victims: list[TextEntry]) -> bool:
        used = self._used - sum(map(self._slots, victims))
        if used + self._slots(entry) > self._limits.slots:
            return False
        return self._has_memory(entry, sum(victim.growth for victim in victims))

    def _has_memory(self, entry: TextEntry, freed: int = 0) -> bool:
        whole = self._limits.cache_tokens
        return not whole or self.reserved - freed + entry.growth <= whole


def _loss(entry: TextEntry) -> tuple[int, int, float]:
    """Who loses least by an eviction is smallest."""
    return -entry.caller.priority, entry.computed, -entry.admitted_at
