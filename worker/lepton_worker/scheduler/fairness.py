"""Whose turn it is: fairness between tenants, and between the lists of one tenant.

Between tenants: the Virtual Token Counter of Sheng et al., "Fairness in Serving Large Language
Models", OSDI 2024 (arXiv 2401.00588), algorithm 2. Each tenant has a counter of the service it
got, in weighted tokens; the one with the smallest is next. The prompt is charged when its text is
chosen, each output when it is planned. Who comes back after a time without demand is lifted to the
smallest counter among those that wait, so that nobody can save service up. The paper proves that
the service of two tenants that both wait all the time differs by 2 x max(input weight x longest
prompt, output weight x tokens in the running batch) at most, for however long.
"""

import itertools

INPUT_WEIGHT = 1
OUTPUT_WEIGHT = 2
REMEMBERED = 1024
"""Counters kept of tenants that wait for nothing."""


class Fairness:
    """Virtual token counters of the tenants of one class."""

    def __init__(self) -> None:
        self._counters: dict[str, float] = {}
        self._demand: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._last_left = ""

    def __len__(self) -> int:
        """Tenants that are remembered."""
        return len(self._counters)

    def counter(self, tenant: str) -> float:
        """Weighted tokens that the tenant got, or was lifted over."""
        return self._counters.get(tenant, 0.0)

    def rank(self, tenant: str) -> tuple[float, int]:
        """The smallest is next: the counter, and among equal ones who was chosen longest ago."""
        return self._counters[tenant], self._served.get(tenant, 0)

    def enter(self, tenant: str) -> None:
        """One more request of the tenant waits."""
        count = self._demand.get(tenant, 0)
        if not count:
            self._counters[tenant] = max(self.counter(tenant), self._floor())
        self._demand[tenant] = count + 1

    def _floor(self) -> float:
        if self._demand:
            return min(self._counters[tenant] for tenant in self._demand)
        return self.counter(self._last_left)

    def leave(self, tenant: str) -> None:
        """One request of the tenant waits no more: it was taken up or given up."""
        self._demand[tenant] -= 1
        if not self._demand[tenant]:
            del self._demand[tenant]
            self._last_left = tenant
            if len(self._counters) - len(self._demand) > REMEMBERED:
                self._forget()

    def chosen(self, tenant: str) -> None:
        """Put the tenant behind all others with the same counter."""
        self._served[tenant] = next(self._numbers)

    def charge(self, tenant: str, weighted: float) -> None:
        """Count service; a negative one gives back what was charged and not needed."""
        if tenant in self._counters:
            self._counters[tenant] += weighted

    def _forget(self) -> None:
        """Drop the smaller half of the idle counters.

        One below the floor would be lifted to it anyway, so nothing is lost with it.
        """
        idle = [tenant for tenant in self._counters if tenant not in self._demand]
        idle.sort(key=self._counters.__getitem__)
        for tenant in idle[: len(idle) // 2]:
            if tenant != self._last_left:
                del self._counters[tenant]
                self._served.pop(tenant, None)


class Rotation:
    """The virtual time of one tenant's lists: each gets the same number of tokens.

    Fair queueing after Demers, Keshav and Shenker, "Analysis and Simulation of a Fair Queueing
    Algorithm", SIGCOMM 1989. A list enters at the present virtual time, is ahead of it by what it
    got, and the one furthest behind is next. Virtual time moves on by the tokens taken, divided by
    the lists that wait; so a list that had much gets its next turn even if new ones never stop
    coming, as long as the queue is bounded.
    """

    def __init__(self) -> None:
        self.time = 0.0

    def served(self, tokens: int, waiting: int) -> None:
        """Move on: one of `waiting` lists got so many tokens."""
        self.time += tokens / max(1, waiting)
