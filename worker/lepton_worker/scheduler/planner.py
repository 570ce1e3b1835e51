"""What the engine does next: who sits in its slots, and what each step computes.

`steps` fills the steps, `seats` the slots, `neighbours` knows for whom both make way.
"""

from collections.abc import Iterable

from lepton_worker.scheduler.costs import Costs, Report, Work
from lepton_worker.scheduler.entries import (
    Entry,
    Limits,
    ListEntry,
    Seating,
    Share,
    TextEntry,
    check_growth,
    check_inputs,
)
from lepton_worker.scheduler.fairness import INPUT_WEIGHT, OUTPUT_WEIGHT
from lepton_worker.scheduler.neighbours import Neighbours
from lepton_worker.scheduler.order import Band, Line
from lepton_worker.scheduler.punctual import Punctuality
from lepton_worker.scheduler.seats import Seats
from lepton_worker.scheduler.steps import Spans, Steps, counted

CLASSES = 64
"""Classes remembered; beyond that, those in which nothing waits are forgotten."""


class Planner:
    """All requests that an engine has in hand. Times are seconds of any one clock.

    Each round of the engine calls `expire`, `seat`, `share`, and after the step `stepped`. An entry
    stays until `remove` or `expire`, and leaves nothing behind.
    """

    def __init__(self, limits: Limits, costs: Costs) -> None:
        self.limits = limits
        self._costs = costs
        self._bands: dict[int, Band] = {}
        self._entries: Line[Entry] = Line()
        self._deadlines: Line[Entry] = Line()
        self._urgent: Line[TextEntry] = Line()
        self._seats = Seats(limits)
        self._neighbours = Neighbours(limits)
        self._steps = Steps(limits)
        self._punctuality = Punctuality(costs)
        self._turns = 0
        self._lists: dict[ListEntry, None] = {}
        self._fresh: list[TextEntry] = []
        self._changed = False
        self._shortest_wait: float | None = None

    def __contains__(self, entry: object) -> bool:
        return entry in self._entries

    @property
    def running(self) -> int:
        """Texts in slots, and lists of which an input was taken."""
        return len(self._seats.taken) + len(self._lists)

    @property
    def waiting(self) -> int:
        """Requests in hand that do not run."""
        return len(self._entries) - self.running

    @property
    def waiting_tokens(self) -> int:
        """Tokens that the texts without a slot are expected to need, and all inputs not taken."""
        work = self._work(entry for entry in self._entries if entry not in self._seats.taken)
        return work.prefill + work.decode

    @property
    def cache_used(self) -> int:
        """Tokens with state of the seated texts."""
        return sum(entry.rows * entry.computed for entry in self._seats.taken)

    @property
    def cache_reserved(self) -> int:
        """Tokens to which the seated texts can grow."""
        return self._seats.reserved

    def add(self, entry: Entry) -> None:
        """Queue a request.

        Raises ContextLengthExceeded for a text that could never be seated, InvalidRequest for a
        list without inputs.
        """
        if isinstance(entry, TextEntry):
            check_growth(entry.prompt, entry.most_new, self.limits.cache_tokens, entry.rows)
            self._band(entry).add_text(entry, self._costs)
            self._changed = True
        else:
            check_inputs(entry)
            self._band(entry).add_list(entry)
        self._neighbours.add(entry)
        self._entries.add(entry, entry.admitted_at)
        if entry.deadline is not None:
            self._deadlines.add(entry, entry.deadline)
        if isinstance(entry, TextEntry) and entry.urgent_at is not None:
            self._urgent.add(entry, entry.urgent_at)

    def _band(self, entry: Entry) -> Band:
        priority = entry.caller.priority
        if priority not in self._bands and len(self._bands) >= CLASSES:
            self._bands = {key: band for key, band in self._bands.items() if not band.idle}
        return self._bands.setdefault(priority, Band())

    def remove(self, entry: Entry) -> None:
        """Forget a request, wherever it is. Twice is once."""
        if not self._entries.discard(entry):
            return
        self._deadlines.discard(entry)
        if isinstance(entry, TextEntry):
            self._urgent.discard(entry)
        self._band(entry).discard(entry)
        self._neighbours.remove(entry)
        if isinstance(entry, ListEntry):
            self._lists.pop(entry, None)
        elif entry.seated:
            self._seats.unseat(entry)
        self._changed = True

    def expire(self, now: float) -> list[Entry]:
        """Forget, and return, the requests whose deadline has passed, running or not."""
        late = self._deadlines.until(now)
        for entry in late:
            self.remove(entry)
        return late

    def give_up(self, now: float) -> list[TextEntry]:
        """Forget, and return, the texts that were never begun and would be late even if they
        began now."""
        outlook = self._punctuality.outlook(now)
        if outlook is None:
            return []
        lost = outlook.hopeless(self._urgent)
        for text in lost:
            self.remove(text)
        return lost

    def seat(self, now: float) -> Seating:
        """Fill the slots; the state of evicted texts is to be dropped before others begin.

        An evicted text has `computed` 0; for one that begins the engine sets it to the number of
        tokens that have state already.
        """
        if not self._changed:
            return Seating()
        outlook = self._punctuality.outlook(now)
        seating = self._seats.seat(self._bands, self._neighbours.standing(), outlook)
        self._changed = bool(seating.evict) or self._seats.held_back
        for entry in seating.begin:
            self._note_wait(entry, now)
        return seating

    def _note_wait(self, entry: Entry, now: float) -> None:
        """Note that a request is taken up; after an eviction that is no news."""
        if entry.begun:
            return
        entry.begun = True
        if isinstance(entry, TextEntry):
            self._fresh.append(entry)
            self._urgent.discard(entry)
        wait = max(0.0, now - entry.admitted_at)
        if self._shortest_wait is None or wait < self._shortest_wait:
            self._shortest_wait = wait

    def share(self, now: float) -> Share:
        """The next step; what it computes is charged and counts as taken."""
        self._refund()
        texts = [entry for entry in self._seats.taken if entry.rest > 0]
        for text in texts:
            if text.first_at is None and text.generated:
                text.first_at = now
        quiet = self._neighbours.standing().quiet
        shared = self._neighbours.shared
        rates = self._costs.rates()
        spans, inputs = self._steps.fill(texts, self._bands, quiet, rates, now, shared)
        share = Share(spans, inputs, *counted(spans, inputs))
        self._neighbours.pass_to(now)
        self._charge_texts(spans)
        for entry, places in inputs:
            self._note_wait(entry, now)
            self._neighbours.took(entry, sum(entry.lengths[place] for place in places))
            self._lists[entry] = None
        return share

    def _charge_texts(self, spans: Spans) -> None:
        """Charge next tokens, prompts are paid for, and note whose turn it was."""
        for entry, count in spans:
            self._turns += 1
            entry.turn = self._turns
            weighted = INPUT_WEIGHT * count if entry.rest > 1 else 0
            if count == entry.rest and entry.most_new:
                output = entry.rows * OUTPUT_WEIGHT
                self._band(entry).fairness.charge(entry.caller.tenant, output)
                weighted += output
            self._neighbours.served(entry.caller.tenant, weighted)

    def _refund(self) -> None:
        """Give back what was charged for tokens that turned out to have state already."""
        for entry in self._fresh:
            if entry.seated and entry.computed:
                fairness = self._band(entry).fairness
                fairness.charge(entry.caller.tenant, -INPUT_WEIGHT * entry.computed)
        self._fresh.clear()

    def wrote_further(self, entry: TextEntry, count: int) -> None:
        """Charge the tokens that a text got from a step besides the one that was shared out."""
        self._band(entry).fairness.charge(entry.caller.tenant, count * OUTPUT_WEIGHT)
        self._neighbours.served(entry.caller.tenant, count * OUTPUT_WEIGHT)

    def stepped(self, share: Share, seconds: float, further: int = 0) -> None:
        """Learn from how long a step took that gave `further` tokens besides those shared out."""
        self._steps.took(seconds)
        self._punctuality.stepped(share, seconds)
        self._costs.observe(share.prefill, share.decode + further, seconds)

    def report(self, now: float) -> Report:
        """What admission has to know; starts the next span of its `shortest_wait`."""
        wait = self._shortest_wait
        if wait is None:
            oldest = next((entry for entry in self._entries if not entry.begun), None)
            wait = max(0.0, now - oldest.admitted_at) if oldest else 0.0
        self._shortest_wait = None
        left = self._work((*self._seats.taken, *self._lists))
        return Report(self._costs.rates(), left, wait, self.limits.neighbour_factor > 0)

    def _work(self, entries: Iterable[Entry]) -> Work:
        """What is still to be computed for some requests, as far as that can be known."""
        prefill = decode = 0
        for entry in entries:
            if isinstance(entry, ListEntry):
                prefill += entry.pending_tokens
            else:
                prefill += entry.rest if entry.rest > 1 else 0
                expected = self._costs.expected_new(entry.most_new)
                decode += entry.rows * max(expected - entry.generated, 0)
        return Work(prefill, decode)
