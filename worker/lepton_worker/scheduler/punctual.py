"""Who may run beside whom, so that texts with a deadline meet it; and who cannot meet it any more.

Each text more makes the steps of all others longer. Without a bound, a server that gets more than
it can do begins everything and ends nothing in time. So a text gets a slot only if, by the costs
learned, every seated text that still can will meet its deadline, and the newcomer too; and a text
that waits is given up as soon as it would be late even alone. Where nobody has a deadline, nothing
is held back. This is admission control by feasibility as for earliest-deadline-first servers
(Buttazzo, "Hard Real-Time Computing Systems", 2011, chapter 9), with steps shared by all.
"""

from collections.abc import Collection, Iterable

from lepton_worker.scheduler.costs import Costs, Rates
from lepton_worker.scheduler.entries import Share, TextEntry
from lepton_worker.scheduler.order import PATIENCE

SMOOTHING = 0.05
LONGEST = 4.0
"""Bounds of how much longer steps are taken to be than their next tokens alone make them."""
TOLERANCE = 1.1
"""How many times the time that is left the estimate must be before a waiting text is given up."""


class Outlook:
    """What can be foreseen at one moment; times are seconds of any one clock."""

    def __init__(self, now: float, rates: Rates, costs: Costs, crowding: float) -> None:
        self._now = now
        self._rates = rates
        self._costs = costs
        self._crowding = crowding

    def bears(self, newcomer: TextEntry, seated: Collection[TextEntry]) -> bool:
        """Whether all are in time if the newcomer gets a slot beside those seated.

        Whoever would be late even alone is not protected; who has waited for PATIENCE seconds is
        not held back.
        """
        if not seated or self._now - newcomer.admitted_at >= PATIENCE:
            return True
        texts = [*seated, newcomer]
        if all(text.deadline is None for text in texts):
            return True
        reading = self._rates.prefill * sum(text.rest for text in texts if text.rest > 1)
        rows = sum(text.rows for text in texts)
        step = self._crowding * self._rates.seconds_for(0, rows)
        return self._in_time(newcomer, reading, step) and all(
            self._in_time(text, reading, step) or self._late_anyway(text) for text in seated
        )

    def _in_time(self, text: TextEntry, reading: float, step: float) -> bool:
        if text.deadline is None:
            return True
        return reading + self._rest(text) * step <= text.deadline - self._now

    def _late_anyway(self, text: TextEntry) -> bool:
        assert text.deadline is not None, "it cannot be late"
        return self._alone(text, self._rest(text)) > text.deadline - self._now

    def _rest(self, text: TextEntry) -> int:
        return self._costs.expected_rest(text.generated, text.least_new, text.most_new)

    def _alone(self, text: TextEntry, rest: int) -> float:
        reading = text.rest if text.rest > 1 else 0
        return self._rates.prefill * reading + rest * self._rates.seconds_for(0, text.rows)

    def hopeless(self, waiting: Iterable[TextEntry]) -> list[TextEntry]:
        """Which of these would be late even if they began now and alone."""
        found = []
        for text in waiting:
            if text.deadline is None:
                continue
            rest = self._costs.least_rest(text.generated, text.least_new, text.most_new)
            estimate = self._alone(text, rest)
            if estimate > TOLERANCE * (text.deadline - self._now):
                found.append(text)
        return found


class Punctuality:
    """Learns how much longer steps are than their next tokens alone would make them."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._crowding = 1.0

    def stepped(self, share: Share, seconds: float) -> None:
        """Note how long a step took."""
        alone = self._costs.seconds_for(0, share.decode) if share.decode else 0.0
        if alone > 0:
            ratio = min(max(1.0, seconds / alone), LONGEST)
            self._crowding += SMOOTHING * (ratio - self._crowding)

    def outlook(self, now: float) -> Outlook | None:
        """What can be foreseen now; None while too little is known."""
        rates = self._costs.rates()
        return None if rates is None else Outlook(now, rates, self._costs, self._crowding)
