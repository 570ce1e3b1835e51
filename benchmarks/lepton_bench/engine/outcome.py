"""What became of requests: times as the caller saw them, and the numbers made of them."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lepton_bench.engine.workload import Item
from lepton_bench.figures import quantile

OK, CANCELLED, LATE = "ok", "cancelled", "late"

TTFT_LIMIT = 1.0
"""Seconds within which a good answer begins."""

TPOT_FACTOR = 2.0
"""A good answer is at most this much slower for each token than the server's own single stream."""


@dataclass
class Record:
    """One request; times in seconds on one clock."""

    item: Item
    intended: float
    """When the caller wanted to ask; in a closed loop, when it did."""
    sent: float = 0.0
    marks: list[tuple[float, int]] = field(default_factory=list)
    """When messages came, each with the number of tokens in it."""
    end: float = 0.0
    outcome: str = OK

    @property
    def tokens(self) -> int:
        """Tokens that reached the caller: all that were asked for once the answer is whole."""
        if self.outcome == OK:
            return self.item.new_tokens
        return min(sum(tokens for _, tokens in self.marks), self.item.new_tokens)

    @property
    def ttft(self) -> float:
        """Seconds from the intended start to the first message."""
        return self.marks[0][0] - self.intended

    @property
    def e2e(self) -> float:
        """Seconds from the intended start to the end."""
        return self.end - self.intended

    @property
    def tpot(self) -> float:
        """Seconds for each token after the first; 0 for answers of one token."""
        after = self.tokens - 1
        return (self.marks[-1][0] - self.marks[0][0]) / after if after > 0 else 0.0

    @property
    def gaps(self) -> list[float]:
        """Seconds between messages, as a reader sees them."""
        times = [time for time, _ in self.marks]
        return [later - earlier for earlier, later in pairwise(times)]


@dataclass(frozen=True)
class Summary:
    """A run in numbers. Latencies are None when no request was answered."""

    requests: int
    answered: int
    cancelled: int
    errors: dict[str, int]
    seconds: float
    prompt_tokens_s: float
    new_tokens_s: float
    requests_s: float
    ttft_p50: float | None
    ttft_p99: float | None
    gap_p50: float | None
    gap_p99: float | None
    tpot_p50: float | None
    e2e_p50: float | None
    e2e_p99: float | None


def summary(records: Sequence[Record], seconds: float) -> Summary:
    """Numbers of a run that took so many seconds. Tokens of unfinished answers count."""
    whole = [record for record in records if record.outcome == OK]
    heard = [record for record in whole if record.marks]
    gaps = [gap for record in heard for gap in record.gaps]
    outcomes = Counter(record.outcome for record in records)
    return Summary(
        requests=len(records),
        answered=len(whole),
        cancelled=outcomes[CANCELLED],
        errors={name: n for name, n in outcomes.items() if name not in (OK, CANCELLED)},
        seconds=seconds,
        prompt_tokens_s=sum(record.item.prompt_tokens for record in whole) / seconds,
        new_tokens_s=sum(record.tokens for record in records) / seconds,
        requests_s=len(whole) / seconds,
        ttft_p50=_at([record.ttft for record in heard], 0.5),
        ttft_p99=_at([record.ttft for record in heard], 0.99),
        gap_p50=_at(gaps, 0.5),
        gap_p99=_at(gaps, 0.99),
        tpot_p50=_at([record.tpot for record in heard if record.tokens > 1], 0.5),
        e2e_p50=_at([record.e2e for record in whole], 0.5),
        e2e_p99=_at([record.e2e for record in whole], 0.99),
    )


def _at(values: Sequence[float], share: float) -> float | None:
    return quantile(values, share) if values else None


def steady_rate(records: Sequence[Record]) -> float | None:
    """Answers a second while every caller of a closed loop was busy; None when too few were.

    The time after the last request was sent is left out: then callers run dry one by one.
    """
    start = min(record.sent for record in records)
    dry = max(record.sent for record in records)
    done = sum(record.outcome == OK and record.end <= dry for record in records)
    return done / (dry - start) if done and dry > start else None


def is_good(record: Record, own_tpot: float) -> bool:
    """Whether the answer is whole, began within a second and kept its pace."""
    return (
        record.outcome == OK
        and bool(record.marks)
        and record.ttft < TTFT_LIMIT
        and record.tpot <= TPOT_FACTOR * own_tpot
    )


def goodput(records: Sequence[Record], own_tpot: float, seconds: float) -> float:
    """Good answers a second."""
    return sum(is_good(record, own_tpot) for record in records) / seconds


def tail(records: Sequence[Record], share: float, *, first: bool = False) -> float | None:
    """A quantile of the time to the end (or to the first token) over all requests.

    One that was not answered counts with the time that its caller waited in vain.
    """
    return _at([r.ttft if first and r.marks else r.e2e for r in records], share)


def median(values: Sequence[float | None]) -> float | None:
    """Median of what was measured; None when nothing was."""
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def by_processor(ours: float | None, theirs: float | None) -> str:
    """A remark on two rates by processor time; nothing when either is missing."""
    found = ratio(ours, theirs)
    return "" if found is None else f"; by processor time {found:.3g}"


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Ours over theirs; None when either is missing or theirs is 0."""
    return ours / theirs if ours is not None and theirs else None
