"""When requests arrive: the two shapes of load, as values."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Poisson:
    """Open loop: requests arrive whether or not earlier ones are answered."""

    rate: float
    """Requests each second, on average."""

    seed: int = 0

    def offsets(self, seconds: float) -> Iterator[float]:
        """Yield the moments of arrival in seconds from the start; the same for the same seed."""
        if self.rate <= 0:
            raise ValueError(f"rate must be above 0, not {self.rate}")
        dice = random.Random(self.seed)
        moment = dice.expovariate(self.rate)
        while moment < seconds:
            yield moment
            moment += dice.expovariate(self.rate)


@dataclass(frozen=True)
class Concurrency:
    """Closed loop: this many callers, each asking again as soon as it has its answer."""

    callers: int

    def __post_init__(self) -> None:
        if self.callers < 1:
            raise ValueError(f"callers must be at least 1, not {self.callers}")
