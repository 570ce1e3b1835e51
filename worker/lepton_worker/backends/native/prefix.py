"""Which slot holds the state of which tokens, and whose state can be used again: no tensors here.

A slot is room for the keys and values of one text. What a text leaves behind when it is released or
evicted stays as a cached prefix until its slot or its memory is needed, least recently used first.
"""

import itertools
from collections.abc import Hashable
from dataclasses import dataclass, field

WORTH = 16
"""Shorter common prefixes are computed again: looking after them costs more."""


@dataclass(eq=False)
class Slot:
    """Room for one text: it holds the state of the first `known` of `ids`.

    `owner` is the running text, None for a cached prefix or an empty slot. `written` is how many
    tokens of memory are taken: never fewer than `known`. `used` counts up with each use.
    """

    index: int
    ids: list[int] = field(default_factory=list)
    known: int = 0
    adapter: str = ""
    owner: Hashable | None = None
    written: int = 0
    used: int = 0


@dataclass(frozen=True)
class Trim:
    """Memory to be given back: the tokens of a slot from `keep` up to `written`."""

    slot: int
    keep: int
    written: int


@dataclass(frozen=True)
class Placement:
    """Where a text begins; the first `slot.known` tokens have to be copied from slot `source`."""

    slot: Slot
    source: int | None
    trims: tuple[Trim, ...] = ()


class NoRoom(Exception):
    """There is no slot, or no memory, and nothing cached that could make way."""


@dataclass
class SlotTable:
    """All slots. At most `running` of them have owners; `tokens` bounds what all hold together.

    `held` is how many tokens of memory are taken, by running texts and cached prefixes.
    """

    count: int
    running: int
    tokens: int
    slots: list[Slot] = field(init=False)
    held: int = field(init=False, default=0)
    _owned: dict[Hashable, Slot] = field(init=False, default_factory=dict)
    _clock: "itertools.count[int]" = field(init=False, default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.slots = [Slot(index) for index in range(self.count)]

    def of(self, owner: Hashable) -> Slot | None:
        """The slot of a running text."""
        return self._owned.get(owner)

    @property
    def owned(self) -> int:
        """How many texts run."""
        return len(self._owned)

    def begin(self, owner: Hashable, ids: list[int], adapter: str, limit: int) -> Placement:
        """A slot for a text, with at most `limit` of its tokens known; raises NoRoom."""
        if len(self._owned) >= self.running or owner in self._owned:
            raise NoRoom(f"{len(self._owned)} of {self.running} slots are taken")
        best, shared = self._longest(ids, adapter, limit)
        trims: list[Trim] = []
        slot, source = self._target(best, shared)
        if source is not None:
            try:
                trims = self.reserve({slot: shared}, spared=source)
            except NoRoom:
                slot, source, shared = self._in_place(slot, source, shared)
        if source is None and slot is not best:
            shared = 0
        slot.ids, slot.known, slot.adapter, slot.owner = ids, shared, adapter, owner
        slot.used = next(self._clock)
        if source is not None:
            source.used = slot.used
        self._owned[owner] = slot
        return Placement(slot, None if source is None else source.index, tuple(trims))

    def end(self, owner: Hashable, keep: bool = True) -> Trim | None:
        """Take a running text's slot back; its state stays as a cached prefix, if wanted."""
        slot = self._owned.pop(owner, None)
        if slot is None:
            return None
        slot.owner, slot.used = None, next(self._clock)
        if not keep:
            return self._cut(slot, 0)
        if slot.known >= WORTH:
            slot.ids = slot.ids[: slot.known]
        else:
            _forget(slot)
        return None

    def forget(self, adapter: str) -> list[Trim]:
        """Drop the cached prefixes of an adapter."""
        cached = [slot for slot in self.slots if slot.owner is None and slot.adapter == adapter]
        return [trim for slot in cached if (trim := self._cut(slot, 0))]

    def reserve(self, wanted: dict[Slot, int], spared: Slot | None = None) -> list[Trim]:
        """Count the memory for slots to grow to so many tokens; what has to make way is returned.

        Raises NoRoom, with nothing changed, when too little is cached.
        """
        grown = {slot: size for slot, size in wanted.items() if size > slot.written}
        if not grown:
            return []
        missing = self.held - self.tokens
        missing += sum(size - slot.written for slot, size in grown.items())
        trims: list[Trim] = []
        if missing > 0:
            victims = self._victims(missing, wanted, spared)
            trims = [trim for slot, keep in victims if (trim := self._cut(slot, keep))]
        for slot, size in grown.items():
            self.held += size - slot.written
            slot.written = size
        return trims

    def _victims(
        self, missing: int, wanted: dict[Slot, int], spared: Slot | None
    ) -> list[tuple[Slot, int]]:
        """Whom to take memory from: first what nobody uses, then cached prefixes by last use."""
        others = [slot for slot in self.slots if slot not in wanted and slot.written]
        found = [(slot, slot.known) for slot in others if slot.written > slot.known]
        missing -= sum(slot.written - slot.known for slot, _ in found)
        cached = [slot for slot in others if slot.owner is None and slot is not spared]
        for slot in sorted(cached, key=lambda slot: slot.used):
            if missing <= 0:
                break
            found.append((slot, 0))
            missing -= slot.known
        if missing > 0:
            raise NoRoom(f"{missing} tokens of memory are missing")
        return found

    def _cut(self, slot: Slot, keep: int) -> Trim | None:
        """Give the memory behind `keep` tokens back."""
        written, slot.written = slot.written, keep
        self.held -= written - keep
        if keep < slot.known:
            _forget(slot)
        return Trim(slot.index, keep, written) if written > keep else None

    def _longest(self, ids: list[int], adapter: str, limit: int) -> tuple[Slot | None, int]:
        """The slot that shares most with a text, and how many tokens it shares."""
        shared = {
            slot: common(slot.ids, ids, min(slot.known, limit))
            for slot in self.slots
            if slot.adapter == adapter and slot.known >= WORTH
        }
        best = max(
            (slot for slot, count in shared.items() if count),
            # Among equals one that needs no copy, then the one not used for longest.
            key=lambda slot: (shared[slot], _whole(slot, shared[slot]), -slot.used),
            default=None,
        )
        return best, shared[best] if best else 0

    def _target(self, best: Slot | None, shared: int) -> tuple[Slot, Slot | None]:
        """The slot to use, and the slot to copy from, if any."""
        if best is not None and _whole(best, shared):
            return best, None
        free = [slot for slot in self.slots if slot.owner is None and slot is not best]
        # Empty slots come first, in their order so that neighbours compute together; then what
        # has not been used for longest.
        slot = min(free, key=lambda slot: (slot.known > 0, slot.known and slot.used), default=None)
        cut = best is not None and best.owner is None
        # Cutting a cached prefix loses less, sometimes, than another one that makes way.
        if best is not None and cut and (slot is None or best.known - shared <= slot.known):
            return best, None
        if slot is None:
            raise NoRoom("every slot is taken")
        return slot, best

    def _in_place(self, slot: Slot, source: Slot, shared: int) -> tuple[Slot, Slot | None, int]:
        """Without memory for a copy: take the cached slot itself, or begin from nothing."""
        return (source, None, shared) if source.owner is None else (slot, None, 0)


def common(first: list[int], second: list[int], limit: int) -> int:
    """How many tokens two texts begin with in common, `limit` at most; 0 when not worth it."""
    high = min(limit, len(first), len(second))
    low = WORTH
    if high < low or first[:low] != second[:low]:
        return 0
    if first[low:high] == second[low:high]:
        return high
    while high - low > 1:  # the first difference is at `low` or behind it, in front of `high`
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _whole(slot: Slot, shared: int) -> bool:
    """Whether a cached prefix is used to its end, so that nothing is lost by going on with it."""
    return slot.owner is None and slot.known == shared


def _forget(slot: Slot) -> None:
    slot.ids, slot.known = [], 0
