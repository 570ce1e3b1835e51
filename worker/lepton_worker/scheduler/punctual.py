"""Who may run beside whom, so that texts are in time; and who cannot be in time any more.

Each text more makes the steps of all others longer. Without a bound, a server that gets more than
it can do begins everything and ends nothing in time. So a text gets a slot only if, by the costs
learned, every seated text that still can will meet its deadline and its objectives (first token and
pace), and the newcomer too; and a text that waits is given up as soon as it would miss its deadline
or its first token even alone. Where nobody wants anything, nothing is held back. This is admission
control by feasibility as for earliest-deadline-first servers (Buttazzo, "Hard Real-Time Computing
Systems", 2011, chapter 9), with steps shared by all; that first token and pace are what an answer
is good for is from Zhong et al., "DistServe", OSDI 2024.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lepton_worker.scheduler.costs import Costs, Rates
from lepton_worker.scheduler.entries import Share, TextEntry
from lepton_worker.scheduler.order import PATIENCE

SMOOTHING = 0.05
LONGEST = 4.0
"""Bounds of how much longer steps are taken to be than their next tokens alone make them."""
TOLERANCE = 1.1
"""How many times the time that is left the estimate must be before a waiting text is given up."""


@dataclass(frozen=True)
class Forecast:
    """What is to come of a text: seconds of `reading`, then `rest` tokens, each in a `step`."""

    reading: float
    rest: int
    step: float

    @property
    def first(self) -> float:
        """Seconds until the next token."""
        return self.reading + self.step

    @property
    def end(self) -> float:
        """Seconds until the last token."""
        return self.reading + self.rest * self.step


def in_time(text: TextEntry, now: float, ahead: Forecast) -> bool:
    """Whether the text meets its deadline and its objectives if it goes on like that."""
    return (
        (text.deadline is None or now + ahead.end <= text.deadline)
        and _begins_in_time(text, now, ahead)
        and _keeps_pace(text, now, ahead)
    )


def _begins_in_time(text: TextEntry, now: float, ahead: Forecast) -> bool:
    by = text.first_by
    return by is None or text.first_at is not None or now + ahead.first <= by


def _keeps_pace(text: TextEntry, now: float, ahead: Forecast) -> bool:
    """Whether the mean over the whole text is as wanted: who was slow has to make up for it."""
    tpot = text.objectives.tpot
    if tpot is None:
        return True
    if text.first_at is None:
        return ahead.rest <= 1 or ahead.step <= tpot
    return now + ahead.end <= text.first_at + tpot * (text.generated - 1 + ahead.rest)


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
        if all(text.deadline is None and not text.objectives for text in texts):
            return True
        reading = self._rates.prefill * sum(text.rest for text in texts if text.rest > 1)
        rows = sum(text.rows for text in texts)
        step = self._crowding * self._rates.seconds_for(0, rows)

        def shared(text: TextEntry) -> bool:
            return in_time(text, self._now, Forecast(reading, self._rest(text), step))

        return shared(newcomer) and all(shared(text) or self._late_anyway(text) for text in seated)

    def _late_anyway(self, text: TextEntry) -> bool:
        return not in_time(text, self._now, self._alone(text, self._rest(text)))

    def _rest(self, text: TextEntry) -> int:
        return self._costs.expected_rest(text.generated, text.least_new, text.most_new)

    def _alone(self, text: TextEntry, rest: int) -> Forecast:
        reading = self._rates.prefill * (text.rest if text.rest > 1 else 0)
        return Forecast(reading, rest, self._rates.seconds_for(0, text.rows))

    def hopeless(self, waiting: Iterable[TextEntry]) -> list[TextEntry]:
        """Which of these, never begun, would be late, as a whole or with their first token, even if
        they began now and alone. A pace that cannot be kept alone is no reason: later is no better.
        """
        return [text for text in waiting if self._is_hopeless(text)]

    def _is_hopeless(self, text: TextEntry) -> bool:
        rest = self._costs.least_rest(text.generated, text.least_new, text.most_new)
        ahead = self._alone(text, rest)
        bounds = (text.deadline, ahead.end), (text.first_by, ahead.first)
        return any(
            by is not None and seconds > TOLERANCE * (by - self._now) for by, seconds in bounds
        )


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
