"""What an engine's front has in hand, as others ask for it."""

import itertools

from lepton_worker.engine.streams import Stream, Ticket


class InHand:
    """Calls, in the order of their admission, and their jobs by number.

    Changed on the event loop alone. Metrics are read from another thread: what they ask for is
    counted in a copy that is made in one go.
    """

    def __init__(self) -> None:
        self.tickets: dict[Ticket, None] = {}
        self.streams: dict[int, Stream] = {}

    @property
    def running(self) -> int:
        """Calls of which the engine has taken up something."""
        return sum(1 for ticket in tuple(self.tickets) if ticket.runs)

    def oldest_wait(self, now: float) -> float:
        """Seconds that the oldest of the waiting calls has waited; 0 when none waits."""
        waiting = (ticket for ticket in tuple(self.tickets) if not ticket.runs)
        oldest = next(waiting, None)
        return 0.0 if oldest is None else max(0.0, now - oldest.admitted_at)

    def in_front(self, ticket: Ticket) -> int:
        """Calls that wait and were admitted before this one."""
        earlier = itertools.takewhile(lambda other: other is not ticket, self.tickets)
        return sum(1 for other in earlier if not other.runs)

    def adapters(self, running: bool) -> tuple[str, ...]:
        """Adapters of the jobs that run, or of those that wait, by name."""
        jobs = tuple(self.streams.values())
        return tuple(
            sorted(
                {
                    stream.job.adapter
                    for stream in jobs
                    if stream.job.adapter and (stream.taken_at is not None) is running
                }
            )
        )
