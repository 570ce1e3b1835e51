"""What goes into a step: next tokens of texts, pieces of prompts, and inputs of lists.

A step begins with the next token of every text that is past its prompt. Prompts, in chunks, and
inputs of lists share what is left: `prefill_tokens` while any text waits for its next token, so
that the time between two tokens stays bounded (Agrawal et al., "Sarathi-Serve", OSDI 2024), else
all of `step_tokens`. Where both want it the better class goes first, and in the same class they
take turns. While quiet tenants have something in a step, the others have turns (`turns`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from lepton_worker.request import Caller
from lepton_worker.scheduler.costs import Rates
from lepton_worker.scheduler.entries import Entry, Limits, ListEntry, TextEntry
from lepton_worker.scheduler.order import Band
from lepton_worker.scheduler.spans import MIN_CHUNK, chunks, everybody, fill
from lepton_worker.scheduler.turns import Allowance, Shield, reserved, shield

Spans = list[tuple[TextEntry, int]]
Inputs = list[tuple[ListEntry, list[int]]]
Bands = Mapping[int, Band]
Wanted = Callable[[Caller], bool]

HELD = 8
"""Steps in a row that may take no input of busy tenants, the next one is shared as ever; and that
may take nothing of their texts, which get something in the next one."""
STEP_SECONDS = 0.2
SHARED_SECONDS = 0.1
"""How long prompts may make a step; and while several tenants were there lately. Whoever comes has
to wait for the step that runs, and whoever waits for a next token for all of it."""
LEAST_TIMES = 3.0
"""But no less than so many times what it takes without prompts: else there would be no end of them
where next tokens alone take long."""


class Steps:
    """Fills one step after the other. Times are seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lists_first = False
        self._held = 0
        self._passed = 0
        self._credit = 0.0
        self._short = False
        self._long_step = 0.0

    def fill(
        self,
        texts: Sequence[TextEntry],
        bands: Bands,
        quiet: Set[str],
        rates: Rates | None,
        now: float,
        shared: bool = False,
    ) -> tuple[Spans, Inputs]:
        """The next step, of seated texts that have tokens to compute, and of lists.

        It is kept short for the tenants in `quiet`, once it is known what steps cost; `shared` says
        that several tenants were there lately.
        """
        room = self._room(texts, rates, SHARED_SECONDS if shared else STEP_SECONDS)
        over = shield(quiet, _present(texts, bands)) if quiet and rates else None
        if over is None or rates is None or self._held >= HELD:
            self._short, self._held, self._passed = False, 0, 0
            return self._plain(texts, bands, room, everybody)
        if not self._short:
            self._credit = -min(self._long_step, now - over.since)
        self._short = True
        return self._shielded(texts, bands, over, rates, room)

    def took(self, seconds: float) -> None:
        """How long the step was."""
        self._long_step = seconds

    def _shielded(
        self, texts: Sequence[TextEntry], bands: Bands, over: Shield, rates: Rates, room: int
    ) -> tuple[Spans, Inputs]:
        """A step that is short for those under a shield; the others have turns in what is left."""

        def exposed(caller: Caller) -> bool:
            return not over.covers(caller)

        mine = [entry for entry in texts if over.covers(entry.caller)]
        others = [entry for entry in texts if exposed(entry.caller)]
        lists = _with_lists(bands, exposed)
        reads = bool(lists) or any(entry.rest > 1 for entry in others)
        spans, inputs = self._plain(mine, bands, room - reserved(room) * reads, over.covers)
        prefill, decode = counted(spans, inputs)
        self._credit += (self._limits.neighbour_factor - 1) * rates.seconds_for(prefill, decode)
        left = Allowance(max(0, room - prefill), self._credit, rates)
        turns = left.take_turns(others, forced=self._passed >= HELD)
        further = fill(lists, left.tokens, False, exposed)
        self._passed = self._passed + 1 if others and not turns else 0
        self._held = self._held + 1 if lists and not further else 0
        saves = self._passed or self._held
        self._credit = left.seconds if saves else min(0.0, left.seconds)
        return spans + turns, inputs + further

    def _plain(
        self, texts: Sequence[TextEntry], bands: Bands, room: int, wanted: Wanted
    ) -> tuple[Spans, Inputs]:
        """All these texts, and inputs of all who are wanted."""
        spans: Spans = [(entry, 1) for entry in texts if entry.rest == 1]
        prompts = [entry for entry in texts if entry.rest > 1]
        pieces, inputs = self._divide(prompts, bands, room, wanted)
        return spans + pieces, inputs

    def _room(self, texts: Sequence[TextEntry], rates: Rates | None, seconds: float) -> int:
        """Tokens for prompts and inputs beside the next tokens of texts; never none.

        While there are texts, prompts make a step no longer than `seconds`, or LEAST_TIMES as long
        as it is without them.
        """
        decode = sum(entry.rows for entry in texts if entry.rest == 1)
        room = self._most(decode)
        if not texts or rates is None or not rates.prefill:
            return room
        without = rates.seconds_for(0, decode)
        left = max(seconds, LEAST_TIMES * without) - without
        return min(room, max(MIN_CHUNK, int(left / rates.prefill)))

    def _most(self, decode: int) -> int:
        """The same beside so many next tokens, however long it takes."""
        whole = self._limits.step_tokens
        if not decode:
            return whole
        return min(self._limits.prefill_tokens, whole, max(MIN_CHUNK, whole - decode))

    def _divide(
        self, prompts: list[TextEntry], bands: Bands, room: int, wanted: Wanted
    ) -> tuple[Spans, Inputs]:
        """Divide the room for prefill between prompts and inputs."""
        lists = _with_lists(bands, wanted)
        if not lists or not prompts:
            return chunks(prompts, room), fill(lists, room, True, wanted)
        self._lists_first = not self._lists_first
        best_text = min(entry.caller.priority for entry in prompts)
        best_list = min(key for key, band in bands.items() if band in lists)
        if (best_list, not self._lists_first) < (best_text, self._lists_first):
            inputs = fill(lists, room, True, wanted)
            return chunks(prompts, room - counted([], inputs)[0]), inputs
        pieces = chunks(prompts, room)
        return pieces, fill(lists, room - counted(pieces, [])[0], False, wanted)


def counted(spans: Spans, inputs: Inputs) -> tuple[int, int]:
    """Tokens of prompts and inputs in a step, and next tokens."""
    prefill = sum(count for entry, count in spans if entry.rest > 1)
    prefill += sum(entry.lengths[place] for entry, places in inputs for place in places)
    return prefill, sum(entry.rows for entry, _ in spans if entry.rest == 1)


def _present(texts: Sequence[TextEntry], bands: Bands) -> Iterator[Entry]:
    """What could be computed; of lists the first of each tenant and class."""
    yield from texts
    for band in bands.values():
        yield from (line[0] for line in band.lists.values())


def _with_lists(bands: Bands, wanted: Wanted) -> list[Band]:
    """The classes in which lists of those wait who are wanted, the best first."""
    return [bands[key] for key in sorted(bands) if bands[key].lists_of(wanted)]
