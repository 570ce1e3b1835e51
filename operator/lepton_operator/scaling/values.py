"""What a scaling decision is made from, and what it says."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

LIFETIME = 10.0
"""Seconds for which a queue depth counts; an older one is as good as unknown."""


@dataclass(frozen=True)
class Depth:
    """Requests accepted and not yet answered; `value` None is unknown, and `age` is in seconds."""

    value: int | None
    age: float = 0.0

    @property
    def known(self) -> int | None:
        """The value while it counts. Unknown is not zero."""
        return self.value if self.age <= LIFETIME else None


@dataclass(frozen=True)
class Bounds:
    """What the spec says: fewest and most workers, and requests in hand for each of them."""

    low: int
    high: int
    target: int

    def wanted(self, depth: int) -> int:
        """Workers for so many requests, whatever the bounds are: depth over target, rounded up."""
        return -(-depth // self.target)

    def within(self, replicas: int) -> int:
        """The nearest allowed number."""
        return min(self.high, max(self.low, replicas))


@dataclass(frozen=True)
class Floor:
    """Fewest workers for now, and who says so, such as a schedule or a forecast."""

    replicas: int
    source: str


@dataclass(frozen=True)
class Inputs:
    """All that a decision looks at; `at` is in seconds on any clock that runs evenly."""

    at: float
    depth: Depth
    bounds: Bounds
    replicas: int
    """Workers asked for (`spec.replicas`)."""
    existing: int
    """Workers that exist, also those that still load (`status.replicas`)."""
    ready: int
    unschedulable: int = 0
    """Workers for which no node has room."""
    floors: tuple[Floor, ...] = ()

    @property
    def floor(self) -> Floor:
        """The highest of the floors and the spec's own minimum."""
        own = Floor(self.bounds.low, "minReplicas")
        return max((own, *self.floors), key=lambda floor: floor.replicas)


class Rule(StrEnum):
    """The rule that won, as users see it."""

    ASLEEP = "Asleep"
    WAKE = "Wake"
    SLEEP = "Sleep"
    BURST = "Burst"
    UNKNOWN = "QueueUnknown"
    TOLERANCE = "WithinTolerance"
    QUEUE = "Queue"
    STABILIZED = "Stabilized"
    RATE = "RateLimited"
    MAXIMUM = "Maximum"
    MINIMUM = "Minimum"
    FLOOR = "Floor"
    UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True)
class Decision:
    """So many workers, why, and from what."""

    replicas: int
    rule: Rule
    inputs: Inputs


S = TypeVar("S")


class Policy(Protocol[S]):
    """A rule for the number of workers; what it remembers is handed in and out."""

    @property
    def period(self) -> float:
        """Seconds between two decisions."""

    def first(self) -> S:
        """What is remembered before the first decision."""

    def decide(self, inputs: Inputs, state: S) -> tuple[Decision, S]:
        """The number of workers from now on."""

    def wake(self, inputs: Inputs, state: S) -> tuple[Decision, S] | None:
        """At once, when a request comes and there are 0 workers; None: not before the next look."""
