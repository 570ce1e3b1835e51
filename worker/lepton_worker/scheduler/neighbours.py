"""Who asks for less than a fair share, and is not to be slowed down by who asks for more.

A tenant is *quiet* if, compared with equal shares of all tenants that have requests in hand,

- it could use less of the next step: one next token for each row of the texts in hand, and the
  inputs of lists that no step has taken, no more than a step holds; and
- it got clearly less lately, MODEST times an equal share at most, of what was computed within a
  time of about WINDOW seconds. Without this, of two tenants that ask for the same, the one that
  happens to have less in hand would be sped up, at the cost of both. What a tenant got while nobody
  else was there for so long does not count.

Both are counted in the weighted tokens of `fairness`.
"""

import math
from collections.abc import Set
from dataclasses import dataclass

from lepton_worker.scheduler.entries import Entry, Limits, ListEntry
from lepton_worker.scheduler.fairness import INPUT_WEIGHT, OUTPUT_WEIGHT

WINDOW = 30.0
MODEST = 0.7
FORGETTING = 1.0
"""Seconds between two looks at who is gone."""
LARGEST = 1e9
"""Of the scale by which later tokens count more; then all are scaled down."""


@dataclass(frozen=True)
class Standing:
    """`tenants` have requests in hand, those in `quiet` for less than their fair share."""

    tenants: int = 0
    quiet: Set[str] = frozenset()


ALONE = Standing()
"""Nobody is in anybody's way."""


class Neighbours:
    """What each tenant has in hand."""

    def __init__(self, limits: Limits) -> None:
        self._on = limits.neighbour_factor > 0
        self._most_texts = limits.slots
        self._most_tokens = limits.step_tokens
        self._texts: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._got: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._now = 0.0
        self._scaled_at = 0.0
        self._checked_at = 0.0

    def add(self, entry: Entry) -> None:
        """One more request is in hand."""
        if isinstance(entry, ListEntry):
            self._count(self._tokens, entry.caller.tenant, entry.pending_tokens)
        else:
            self._count(self._texts, entry.caller.tenant, entry.rows)

    def remove(self, entry: Entry) -> None:
        """A request has left."""
        if isinstance(entry, ListEntry):
            self._count(self._tokens, entry.caller.tenant, -entry.pending_tokens)
        else:
            self._count(self._texts, entry.caller.tenant, -entry.rows)

    def took(self, entry: ListEntry, tokens: int) -> None:
        """A step computes inputs of a list."""
        self.served(entry.caller.tenant, INPUT_WEIGHT * tokens)
        self._count(self._tokens, entry.caller.tenant, -tokens)

    def pass_to(self, now: float) -> None:
        """Let what tenants got fade until now, and forget those who have not been seen lately."""
        self._now = now
        scale = self._scale()
        if scale > LARGEST:
            self._got = {tenant: got / scale for tenant, got in self._got.items()}
            self._scaled_at = now
        if now >= self._checked_at + FORGETTING:
            self._checked_at = now
            here = self._tenants()
            self._seen = {
                tenant: now if tenant in here else at
                for tenant, at in self._seen.items()
                if tenant in here or at > now - WINDOW
            }
            self._got = {tenant: got for tenant, got in self._got.items() if tenant in self._seen}

    def _scale(self) -> float:
        """How much a token counts now: instead of all older ones fading, new ones grow."""
        return math.exp(min((self._now - self._scaled_at) / WINDOW, 700.0))

    def served(self, tenant: str, weighted: float) -> None:
        """A step computes something for a tenant."""
        self._seen[tenant] = self._now
        if len(self._seen) > 1 or len(self._tenants()) > 1:
            self._got[tenant] = self._got.get(tenant, 0.0) + weighted * self._scale()

    @property
    def shared(self) -> bool:
        """Whether several tenants are here, or were within the last WINDOW seconds."""
        return self._on and len(self._seen.keys() | self._tenants()) > 1

    @staticmethod
    def _count(counts: dict[str, int], tenant: str, change: int) -> None:
        count = counts.get(tenant, 0) + change
        if count:
            counts[tenant] = count
        else:
            counts.pop(tenant, None)

    def _tenants(self) -> Set[str]:
        return self._texts.keys() | self._tokens.keys()

    def standing(self) -> Standing:
        """How the tenants stand now."""
        tenants = self._tenants()
        if not self._on or len(tenants) < 2:
            return ALONE
        wants = {tenant: self._wanted(tenant) for tenant in tenants}
        got = {tenant: self._got.get(tenant, 0.0) for tenant in tenants}
        less_wanted = sum(wants.values()) / len(tenants)
        less_got = MODEST * sum(got.values()) / len(tenants)
        quiet = (name for name in tenants if wants[name] < less_wanted and got[name] <= less_got)
        return Standing(len(tenants), frozenset(quiet))

    def _wanted(self, tenant: str) -> int:
        """Weighted tokens that a tenant could use of the next step."""
        texts = min(self._texts.get(tenant, 0), self._most_texts)
        tokens = min(self._tokens.get(tenant, 0), self._most_tokens)
        return OUTPUT_WEIGHT * texts + INPUT_WEIGHT * tokens
