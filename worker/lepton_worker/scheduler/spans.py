"""How a step of so many tokens is divided among prompts and among inputs."""

from collections.abc import Callable, Iterable, Sequence

from lepton_worker.request import Caller
from lepton_worker.scheduler.entries import ListEntry, TextEntry
from lepton_worker.scheduler.order import Band, Walk

MIN_CHUNK = 16
"""Tokens below which a chunk of a prompt is not worth its overhead, unless it is the rest."""
TURNS = 8
"""Equal turns into which a step is divided among lists."""
MISSES = 16
"""Lists without an input that fits, after which a step is taken to be full."""


def chunks(prompts: Sequence[TextEntry], room: int) -> list[tuple[TextEntry, int]]:
    """Divide `room` tokens among prompts, given in the order of their seating.

    Half goes to the first one, so that a long prompt comes to its end; the other half goes to the
    shortest rest first, so that a short prompt does not wait behind a long one. What one half does
    not need goes to the other, and what a class does not need to the next worse one.
    """
    if not prompts or room < 1:
        return []
    queue = sorted(prompts, key=_priority)
    first = queue[0]
    others = sorted(queue[1:], key=lambda entry: (_priority(entry), _rest(entry)))
    peers = [entry for entry in others if _priority(entry) == _priority(first)]
    least = min(MIN_CHUNK, room)
    given = {first: min(_rest(first), max(least, room // 2))}
    left = room - given[first]
    for entry in (*peers, first, *others[len(peers) :]):
        held = given.get(entry, 0)
        count = min(_rest(entry) - held, left)
        if held + count >= min(least, _rest(entry)):
            given[entry] = held + count
            left -= count
    return [(entry, count) for entry, count in given.items() if count]


def _priority(entry: TextEntry) -> int:
    return entry.caller.priority


def _rest(entry: TextEntry) -> int:
    return entry.length - entry.computed


def everybody(caller: Caller) -> bool:
    """Whose lists may have inputs in a step, if nobody has to stand back."""
    return True


def fill(
    bands: Iterable[Band], room: int, force: bool, wanted: Callable[[Caller], bool] = everybody
) -> list[tuple[ListEntry, list[int]]]:
    """Take inputs of lists, `room` tokens at most, and charge them; the best class comes first.

    Only callers that are `wanted` have their turns.

    In a class, tenants and their lists have turns of equal size (deficit round robin after
    Shreedhar and Varghese, SIGCOMM 1995, with the counters of `fairness` in place of deficits), the
    longest inputs first as far as they fit. With `force` the first input is taken even if it is
    longer than the room, and is then alone: nothing shorter can be made of it.
    """
    taken: dict[ListEntry, list[int]] = {}
    turn = max(1, room // TURNS)
    misses = 0
    for band in bands:
        walk = Walk(band.fairness, band.lists_of(wanted))
        while room > 0 and misses < MISSES and (entry := walk.next()) is not None:
            places, tokens = _turn(entry, turn, room, force and not taken)
            if places:
                taken.setdefault(entry, []).extend(places)
                room -= tokens
                band.charge_inputs(entry, tokens)
                walk.took()
            else:
                misses += 1
                walk.skip()
    return list(taken.items())


def _turn(entry: ListEntry, turn: int, room: int, force: bool) -> tuple[list[int], int]:
    """Inputs of one list until they are as many tokens as a turn has, and how many they are."""
    places: list[int] = []
    tokens = 0
    while tokens < turn:
        place = entry.take(None if force and not places else room - tokens)
        if place is None:
            break
        places.append(place)
        tokens += entry.lengths[place]
    return places, tokens
