"""Which models are due for a pass, and when: plain data, without a clock.

A model is in hand at most once; what comes in meanwhile makes it due again afterwards. Passes over
one model keep a distance, and failing ones a growing one, so that nothing can spin.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from lepton_operator.api.objects import Key

SPACING = 0.1
"""Least seconds between two passes over a model: events come in bursts."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 300.0


@dataclass
class Backlog:
    """All times are seconds of one clock; `jitter` gives a factor in (0, 1] for each pause."""

    jitter: Callable[[], float]
    _due: dict[Key, float] = field(default_factory=dict)
    _order: list[tuple[float, Key]] = field(default_factory=list)
    """Heap of what is due; entries that differ from `_due` are out of date and are skipped."""

    _in_hand: dict[Key, float] = field(default_factory=dict)
    _finished: dict[Key, float] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Models that are due, now or later, or in hand."""
        return len(self._due.keys() | self._in_hand.keys())

    def add(self, key: Key, at: float) -> None:
        """The model needs a pass at that time; an earlier one serves as well."""
        at = max(at, self._finished.get(key, at - SPACING) + SPACING)
        if at < self._due.get(key, at + 1):
            self._due[key] = at
            if key not in self._in_hand:
                heapq.heappush(self._order, (at, key))

    def take(self, now: float) -> Key | None:
        """The model that has been due longest, in hand from now on; None if there is none."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, key = heapq.heappop(self._order)
        del self._due[key]
        self._in_hand[key] = now
        return key

    def next_due(self) -> float | None:
        """When `take` may give something; None for not before something is added or finished."""
        while self._order:
            at, key = self._order[0]
            if self._due.get(key) == at and key not in self._in_hand:
                return at
            heapq.heappop(self._order)
        return None

    def succeeded(self, key: Key, now: float) -> None:
        """The pass did all there was to do."""
        self._finish(key, now)
        self._failures.pop(key, None)

    def failed(self, key: Key, now: float, longest: float = LONGEST_PAUSE) -> float:
        """The pass did not; the model is due again after the returned pause."""
        self._finish(key, now)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(longest, FIRST_PAUSE * 2.0 ** min(failures - 1, 30)) * self.jitter()
        self.add(key, now + pause)
        return pause

    def forget(self, key: Key) -> None:
        """The model is gone: keep nothing of it but what is due."""
        self._finished.pop(key, None)
        self._failures.pop(key, None)

    def longest_in_hand(self, now: float) -> float:
        """Seconds that the slowest pass under way has taken so far."""
        return max((now - since for since in self._in_hand.values()), default=0.0)

    def _finish(self, key: Key, now: float) -> None:
        del self._in_hand[key]
        self._finished[key] = now
        if key in self._due:
            self._due[key] = max(self._due[key], now + SPACING)
            heapq.heappush(self._order, (self._due[key], key))
