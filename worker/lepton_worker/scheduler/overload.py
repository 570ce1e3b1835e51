"""Which classes are to be refused so that the better ones are served.

In the sense of CoDel (Nichols and Jacobson, "Controlling Queue Delay", CACM 55(7), 2012): a queue
is bad when it does not empty, not when it is long for a moment. So what counts is the shortest
wait over an interval: while that stays above the target, each interval refuses one class more, the
worst first; once it is below, all are taken again. The best class in hand is never refused here:
with one class alone there is nothing to protect, and the bound of the queue and the deadlines do
the rest.
"""

from collections.abc import Collection

TARGET = 1.0
INTERVAL = 0.5


class OverloadGuard:
    """Watches the shortest wait; times are seconds of any one clock."""

    def __init__(self, target: float = TARGET, interval: float = INTERVAL) -> None:
        self._target = target
        self._interval = interval
        self._above_since: float | None = None
        self._refused_from: int | None = None

    def refuses(self, priority: int) -> bool:
        """Whether requests of a class are to be refused now."""
        return self._refused_from is not None and priority >= self._refused_from

    def observe(self, wait: float, classes: Collection[int], now: float) -> None:
        """Note the shortest wait lately, and the classes that have requests in hand."""
        if wait <= self._target:
            self._above_since = None
            self._refused_from = None
        elif self._above_since is None:
            self._above_since = now
        elif now - self._above_since >= self._interval:
            self._refuse_one_more(classes)
            self._above_since = now

    def _refuse_one_more(self, classes: Collection[int]) -> None:
        refused = self._refused_from
        taken = sorted(key for key in classes if refused is None or key < refused)
        if len(taken) > 1:
            self._refused_from = taken[-1]
