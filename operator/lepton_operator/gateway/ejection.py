"""Which workers get no calls for a while, because their last calls failed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAILURES = 3
"""Calls in a row that have to fail: one lost connection fails several at once, a bug few."""
FIRST_SECONDS = 1.0
"""How long the first ejection lasts; each further one twice as long as the one before."""
LONGEST_SECONDS = 60.0
MOST = 0.5
"""The share of a model's workers that may be ejected: where more fail, it is not their fault."""


@dataclass(frozen=True)
class Record:
    """What a worker's calls came to; times in seconds on a monotonic clock."""

    failures: int = 0
    """In a row, up to now."""
    ejections: int = 0
    """Since the last success."""
    until: float = 0.0
    """When the ejection ends; in the past when there is none."""

    def succeeded(self) -> "Record":
        """After an answer of the worker, an error that it states itself included."""
        return Record()

    def failed(self, now: float) -> "Record":
        """After a call that the worker was lost under, or could not be reached for.

        What was sent before the ejection and fails during it is no further offence. The first
        call after it is a trial: its failure ejects again.
        """
        if now < self.until:
            return self
        failures = self.failures + 1
        if failures < FAILURES and not self.ejections:
            return Record(failures)
        seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.ejections, 16))
        return Record(failures, self.ejections + 1, now + seconds)


def admitted(addresses: Iterable[str], records: Mapping[str, Record], now: float) -> list[str]:
    """The workers that may be sent calls, in the order given.

    When more than `MOST` of them are ejected, those whose time ends first are let in.
    """
    addresses = list(addresses)
    out = [address for address in addresses if records.get(address, Record()).until > now]
    out.sort(key=lambda address: records[address].until, reverse=True)
    ejected = set(out[: int(len(addresses) * MOST)])
    return [address for address in addresses if address not in ejected]
