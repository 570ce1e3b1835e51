"""An engine whose model is a formula: drives the planner under any load and checks every plan."""

import random
from collections import defaultdict
from collections.abc import Callable

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Costs, Rates
from lepton_worker.scheduler.entries import Entry, Limits, ListEntry, Share, TextEntry
from lepton_worker.scheduler.planner import Planner


class Simulation:
    """Does what the plans say, and checks every plan.

    A step takes one unit of time, or, with `machine`, as many seconds as that says. `goals` is how
    long each text becomes. `cached` makes texts find part of their prompt cached. `begun` and
    `done` say when; `held` how many steps in a row have passed a seated text; `watch` sees steps.
    """

    def __init__(
        self,
        limits: Limits,
        rng: random.Random,
        cached: bool = False,
        machine: Rates | None = None,
    ) -> None:
        self.planner = Planner(limits, Costs())
        self.limits = limits
        self.now = 0.0
        self.goals: dict[Entry, int] = {}
        self.done: dict[Entry, float] = {}
        self.late: list[Entry] = []
        self.given_up: list[TextEntry] = []
        self.evicted: list[TextEntry] = []
        self.steps = 0
        self._seated: dict[TextEntry, None] = {}
        self.held: dict[TextEntry, int] = {}
        self.longest_held = 0
        self.held_classes: set[int] = set()
        self.begun: dict[Entry, float] = {}
        self.watch: Callable[[Share], None] | None = None
        self.results: dict[ListEntry, list[int]] = defaultdict(list)
        self.served: dict[str, float] = defaultdict(float)
        self._rng = rng
        self._cached = cached
        self._machine = machine

    def text(self, caller: Caller, prompt: int, goal: int, deadline: float | None = None) -> Entry:
        """Ask for a text that ends after `goal` tokens."""
        most_new = goal + self._rng.randrange(4)
        entry = TextEntry(caller, self.now, deadline, prompt, most_new, None)
        self.goals[entry] = goal
        self.planner.add(entry)
        return entry

    def inputs(self, caller: Caller, lengths: list[int], deadline: float | None = None) -> Entry:
        """Ask for a list of inputs."""
        entry = ListEntry(caller, self.now, deadline, lengths, None)
        self.planner.add(entry)
        return entry

    def step(self) -> None:
        """Plan a step, check it, and compute it."""
        self.steps += 1
        self.now += 0 if self._machine else 1
        planner, limits = self.planner, self.limits
        for entry in planner.expire(self.now):
            assert entry.deadline is not None
            assert entry.deadline <= self.now
            self.late.append(entry)
        self.given_up += planner.give_up(self.now)
        self._seat()
        share = planner.share(self.now)
        if planner.waiting + planner.running:
            assert share, "there is work and nothing is planned"
        assert share.decode <= limits.slots
        texts = sum(count for _, count in share.spans) - share.decode
        assert texts <= (limits.prefill_tokens if share.decode else limits.step_tokens)
        if self.watch:
            self.watch(share)
        seconds = 0.001
        if self._machine:
            seconds = self._machine.seconds_for(share.prefill, share.decode)
            self.now += seconds
        self._note_held(share)
        for text, count in share.spans:
            self._compute(text, count)
        for entry, places in share.inputs:
            self._encode(entry, places)
        planner.stepped(share, seconds)

    def _note_held(self, share: Share) -> None:
        """Count how many steps in a row pass each seated text."""
        served = {text for text, _ in share.spans}
        idle = [text for text in self._seated if text.seated and text not in served]
        self._seated = {text: None for text in self._seated if text.seated}
        self.held = {text: self.held.get(text, 0) + 1 for text in idle}
        self.held_classes |= {text.caller.priority for text in idle}
        self.longest_held = max([self.longest_held, *self.held.values()])

    def _seat(self) -> None:
        planner, limits = self.planner, self.limits
        seating = planner.seat(self.now)
        for entry in seating.evict:
            assert not entry.seated
            assert entry.computed == 0
            assert any(_may_evict(other, entry) for other in seating.begin)
            self.evicted.append(entry)
        for entry in seating.begin:
            assert entry.seated
            self._seated[entry] = None
            self.begun.setdefault(entry, self.now)
            assert entry in planner
            if self._cached:
                entry.computed = self._rng.randrange(entry.length)
        if limits.cache_tokens:
            assert planner.cache_used <= planner.cache_reserved <= limits.cache_tokens

    def _compute(self, text: TextEntry, count: int) -> None:
        assert text in self.planner
        assert text.seated
        assert 0 < count <= text.length - text.computed
        self.served[text.caller.tenant] += max(0, min(count, text.prompt - text.computed))
        text.computed += count
        if text.computed == text.length:
            text.length += 1
            self.served[text.caller.tenant] += 2
            if text.generated == self.goals[text]:
                self._end(text)

    def _encode(self, entry: ListEntry, places: list[int]) -> None:
        assert entry in self.planner
        self.results[entry] += places
        self.served[entry.caller.tenant] += sum(entry.lengths[place] for place in places)
        if len(self.results[entry]) == len(entry.lengths):
            assert sorted(self.results[entry]) == list(range(len(entry.lengths)))
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        self.planner.remove(entry)
        self.done[entry] = self.now

    def finish(self, most: int) -> None:
        """Go on until nothing is left, so many steps at most."""
        for _ in range(most):
            if not self.planner.waiting + self.planner.running:
                return
            self.step()
        raise AssertionError(f"{self.planner.waiting} wait, {self.planner.running} run for ever")


def _may_evict(newcomer: TextEntry, evicted: TextEntry) -> bool:
    """A better class may, and in the same class another tenant."""
    if newcomer.caller.priority == evicted.caller.priority:
        return newcomer.caller.tenant != evicted.caller.tenant
    return newcomer.caller.priority < evicted.caller.priority
