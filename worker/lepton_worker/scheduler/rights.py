"""Who may ask another tenant for a slot, and who gives one up.

A tenant's share is that of the resource of which it has most, slots or cache: dominant resource
fairness after Ghodsi et al., NSDI 2011. A newcomer of a quiet tenant has a right to a slot as long
as its tenant stays within an equal share. Slots come from the tenant with the largest share, never
below an equal one, and of its texts from the one with the least computed, then the youngest. The
gap between the two keeps texts from chasing each other, and no text gives way more than MOST_YIELDS
times.
"""

from collections.abc import Iterable

from lepton_worker.scheduler.entries import Limits, TextEntry
from lepton_worker.scheduler.neighbours import Standing

MOST_YIELDS = 2


class Holdings:
    """How much of slots and cache each tenant has."""

    def __init__(self, limits: Limits, seated: Iterable[TextEntry]) -> None:
        self._limits = limits
        self._slots: dict[str, int] = {}
        self._cache: dict[str, int] = {}
        for entry in seated:
            self.change(entry, 1)

    def change(self, entry: TextEntry, sign: int) -> None:
        """A text got a slot (1) or gave it up (-1)."""
        tenant = entry.caller.tenant
        self._slots[tenant] = self._slots.get(tenant, 0) + sign * entry.rows
        self._cache[tenant] = self._cache.get(tenant, 0) + sign * entry.growth

    def share(self, tenant: str, slots: int = 0, cache: int = 0) -> float:
        """A tenant's share, if it had so many slots and tokens more."""
        slots += self._slots.get(tenant, 0)
        cache += self._cache.get(tenant, 0)
        whole = self._limits.cache_tokens
        return max(slots / self._limits.slots, cache / whole if whole else 0.0)


def fair_share(standing: Standing, limits: Limits) -> float:
    """An equal share; one slot is nobody's excess."""
    return max(1 / max(1, standing.tenants), 1 / limits.slots)


def has_right(entry: TextEntry, holdings: Holdings, standing: Standing, limits: Limits) -> bool:
    """Whether a waiting text has a right to a slot."""
    tenant = entry.caller.tenant
    if tenant not in standing.quiet:
        return False
    return holdings.share(tenant, entry.rows, entry.growth) <= fair_share(standing, limits)


def yielding(
    texts: Iterable[TextEntry], holdings: Holdings, standing: Standing, limits: Limits
) -> list[TextEntry]:
    """Which of the texts have to give way if they must, in this order; `holdings` follow."""
    fair = fair_share(standing, limits)
    queues: dict[str, list[TextEntry]] = {}
    for text in sorted(texts, key=_loss):
        if text.caller.tenant not in standing.quiet and text.yielded < MOST_YIELDS:
            queues.setdefault(text.caller.tenant, []).append(text)
    order: list[TextEntry] = []
    while queues:
        tenant = max(queues, key=holdings.share)
        text = queues[tenant].pop(0)
        if not queues[tenant]:
            del queues[tenant]
        if holdings.share(tenant, -text.rows, -text.growth) >= fair:
            holdings.change(text, -1)
            order.append(text)
    return order


def _loss(text: TextEntry) -> tuple[int, float]:
    """Who loses least by an eviction is smallest."""
    return text.computed, -text.admitted_at
