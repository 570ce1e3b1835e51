"""How fast requests leave, and so when it is worth asking again."""

SHORTEST, LONGEST, UNKNOWN = 0.1, 30.0, 1.0
WEIGHT = 0.2


class Pace:
    """Smoothed time between two departures while others wait; idle time does not count."""

    def __init__(self) -> None:
        self._gap: float | None = None
        self._last: float | None = None

    def departed(self, now: float, others_wait: bool) -> None:
        """Note that a request has left."""
        if self._last is not None:
            gap = now - self._last
            self._gap = gap if self._gap is None else self._gap + WEIGHT * (gap - self._gap)
        self._last = now if others_wait else None

    def time_for(self, departures: int) -> float:
        """Seconds until about so many requests will have left, within sensible bounds."""
        if self._gap is None:
            return UNKNOWN
        return min(LONGEST, max(SHORTEST, self._gap * max(1, departures)))
