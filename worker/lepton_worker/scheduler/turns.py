"""How a step stays short beside quiet tenants: the texts of the others take turns at it.

What quiet tenants have in a step is planned as ever. Whatever else goes into it may take so long
that the step lasts `Limits.neighbour_factor` times as long, by the costs learned: with a factor of
2, a tenant beside another one is as fast as on half of the machine, and the other one has the other
half. The step that a newcomer found running is part of that: what it took is missing from what the
others get next. The text whose last step is longest ago goes first. Time too short for it is saved
for the next step, but not for ever: after some steps it gets something however short the time is.
Where more rows cost no more time, as on a GPU with few of them, nobody is left out.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Rates
from lepton_worker.scheduler.entries import Entry, TextEntry
from lepton_worker.scheduler.spans import MIN_CHUNK, TURNS


@dataclass(frozen=True)
class Shield:
    """For whom a step is kept short: quiet tenants, and all whose class is better than theirs.

    `best` is the best class in which a quiet tenant has something to compute, and `since` when the
    first of that was admitted.
    """

    quiet: Set[str]
    best: int
    since: float

    def covers(self, caller: Caller) -> bool:
        """Whether the caller's work is never held back."""
        return caller.tenant in self.quiet or caller.priority < self.best


def shield(quiet: Set[str], entries: Iterable[Entry]) -> Shield | None:
    """The shield over requests that have something to compute; None without a quiet tenant's."""
    theirs = [entry for entry in entries if entry.caller.tenant in quiet]
    if not theirs:
        return None
    best = min(entry.caller.priority for entry in theirs)
    return Shield(quiet, best, min(entry.admitted_at for entry in theirs))


def reserved(room: int) -> int:
    """Tokens of prefill that quiet tenants leave to the others, however long their prompts."""
    return min(max(MIN_CHUNK, room // TURNS), room // 2)


@dataclass
class Allowance:
    """What may still be put into a step: tokens of prefill, and seconds."""

    room: int
    seconds: float
    rates: Rates

    @property
    def tokens(self) -> int:
        """Tokens of prefill for which there are both."""
        if not self.rates.prefill:
            return self.room
        return min(self.room, max(0, int(self.seconds / self.rates.prefill)))

    def read(self, tokens: int) -> None:
        """So many tokens of prefill were put in."""
        self.room -= tokens
        self.seconds -= tokens * self.rates.prefill

    def take_turns(
        self, texts: Sequence[TextEntry], forced: bool = False
    ) -> list[tuple[TextEntry, int]]:
        """What of the texts is computed: next tokens, and prompts in chunks.

        Nothing while there is no time for the first of them, or else cheaper ones would use up what
        it saves for; but something of that one in any case if it is `forced`.
        """
        spans: list[tuple[TextEntry, int]] = []
        least = min(MIN_CHUNK, self.room)
        for entry in sorted(texts, key=lambda text: text.turn):
            count = self._count(entry, least, first=forced and not spans)
            if count:
                spans.append((entry, count))
            elif not spans and (entry.rest == 1 or self.room > 0):
                break
        return spans

    def _count(self, entry: TextEntry, least: int, first: bool) -> int:
        """Tokens for a text, no fewer than `least` of a prompt; who is `first` gets some anyway."""
        if entry.rest == 1:
            cost = entry.rows * self.rates.decode
            if self.seconds < cost and not first:
                return 0
            self.seconds -= cost
            return 1
        least = min(least, entry.rest)
        count = min(entry.rest, self.tokens)
        if first:
            count = max(count, min(least, self.room))
        if count < least:
            return 0
        self.read(count)
        return count
