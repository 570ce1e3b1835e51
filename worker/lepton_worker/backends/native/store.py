"""Where texts' keys and values are: what the decoder asks of it, and slots as one answer."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import torch

from lepton_worker.backends.native.attention_slots import NAME
from lepton_worker.backends.native.parts import SlotStep
from lepton_worker.backends.native.prefix import NoRoom, Slot, SlotTable, Trim
from lepton_worker.backends.native.rows import Chunk, grouped
from lepton_worker.backends.native.slots import LayerShape, Slabs, layer_shapes
from lepton_worker.backends.native.stepping import Step
from lepton_worker.backends.native.work import Place, Work
from lepton_worker.backends.transformers.loading import Loaded


class Store(Protocol):
    """Memory for the state of texts, each known by its owner while it runs."""

    @property
    def attention(self) -> str:
        """Name under which its attention is registered with transformers."""

    @property
    def layers(self) -> int:
        """How many layers keep state."""

    @property
    def longest(self) -> int:
        """The most tokens of one text that can have state."""

    @property
    def owned(self) -> int:
        """How many texts run."""

    @property
    def held(self) -> int:
        """Tokens whose state takes memory, cached prefixes included."""

    def begin(self, owner: Hashable, ids: list[int], adapter: str, limit: int) -> Place:
        """A place for a text, with at most `limit` of its tokens known; raises NoRoom."""

    def of(self, owner: Hashable) -> Any:
        """The place of a running text, or None."""

    def grow(self, place: Any, tokens: int) -> None:
        """Have memory for so many tokens of a text; raises NoRoom, with nothing changed."""

    def end(self, owner: Hashable, keep: bool = True) -> None:
        """Take a place back; its state may serve others, unless it is not to be kept."""

    def forget(self, adapter: str) -> None:
        """Use nothing again that an adapter computed."""

    def rows(self, place: Any, start: int, end: int) -> Sequence[int]:
        """Where the state of a text's tokens from `start` up to `end` goes."""

    def clear(self, place: Any, first: int, last: int) -> None:
        """Set the state of some tokens to zero: what is no number would spread from there."""

    def step(self, works: Sequence[Work], index: torch.Tensor, heads: int, checked: bool) -> Step:
        """A packed forward of works, whose tokens' state goes to the rows `index`, on the device.

        `heads` are the module's. Those of one token come first, in the order of their places
        within each adapter.
        """


class SlotStore:
    """One slot for each text, in slabs of one piece; see `prefix` and `slots`."""

    attention = NAME

    def __init__(self, slabs: Slabs, table: SlotTable) -> None:
        self._slabs = slabs
        self._table = table
        self.layers = len(slabs.keys)
        self.longest = slabs.tokens

    @classmethod
    def of_size(
        cls, module: Any, shapes: Sequence[LayerShape], count: int, longest: int
    ) -> "SlotStore":
        """So many slots of so many tokens, all of which may run at once."""
        slabs = Slabs(shapes, count, longest, module.dtype, module.device)
        return cls(slabs, SlotTable(count, count, count * slabs.tokens))

    @property
    def owned(self) -> int:
        """How many slots have a text."""
        return self._table.owned

    @property
    def held(self) -> int:
        """Tokens whose state takes memory, cached prefixes included."""
        return self._table.held

    def begin(self, owner: Hashable, ids: list[int], adapter: str, limit: int) -> Slot:
        """A slot; what it is to know of another one's tokens has been copied."""
        placed = self._table.begin(owner, ids, adapter, limit)
        self._trim(placed.trims)
        if placed.source is not None:
            self._slabs.copy(placed.source, placed.slot.index, placed.slot.known)
        return placed.slot

    def of(self, owner: Hashable) -> Slot | None:
        """The slot of a running text."""
        return self._table.of(owner)

    def grow(self, place: Slot, tokens: int) -> None:
        """Count the memory, for which others may have to make way."""
        if tokens > self.longest:
            raise NoRoom(f"a slot has {self.longest} tokens")
        self._trim(self._table.reserve({place: tokens}))

    def end(self, owner: Hashable, keep: bool = True) -> None:
        """Take a slot back."""
        trim = self._table.end(owner, keep)
        self._trim([trim] if trim else [])

    def forget(self, adapter: str) -> None:
        """Drop the cached prefixes of an adapter."""
        self._trim(self._table.forget(adapter))

    def rows(self, place: Slot, start: int, end: int) -> range:
        """Neighbours in the slabs."""
        base = place.index * self._slabs.tokens
        return range(base + start, base + end)

    def clear(self, place: Slot, first: int, last: int) -> None:
        """Set the state of some tokens to zero."""
        self._slabs.clear(place.index, first, last)

    def step(
        self, works: Sequence[Work], index: torch.Tensor, heads: int, checked: bool
    ) -> SlotStep:
        """Single tokens in groups of neighbouring slots, then chunks of prompts one by one."""
        chunks, first = [], 0
        for work in works:
            if work.count > 1:
                chunks.append(Chunk(first, first + work.count, work.slot.index, work.start))
            first += work.count
        single = works[: len(works) - len(chunks)]
        groups = grouped([work.slot.index for work in single], [work.end for work in single])
        dtype = self._slabs.keys[0].whole.dtype
        return SlotStep(self._slabs, index, groups, chunks, dtype, heads, checked)

    def _trim(self, trims: Sequence[Trim]) -> None:
        for trim in trims:
            self._slabs.trim(trim)


def slot_store(loaded: Loaded, slots: int, cache_tokens: int) -> SlotStore:
    """Slots for `slots` texts at once, which hold at most `cache_tokens` tokens together.

    As many slots again keep what ended texts leave behind, while there is memory for it. Raises
    TaskNotSupported for models whose state is not keys and values.
    """
    module, longest = loaded.module, loaded.facts.max_length
    tokens, count = cache_tokens or slots * longest, 2 * slots
    if module.device.type != "cpu":  # There, memory is taken before it is used.
        count, longest = slots, min(longest, tokens // slots)
    shapes = layer_shapes(module)
    slabs = Slabs(shapes, count, min(longest, tokens), module.dtype, module.device)
    return SlotStore(slabs, SlotTable(count, slots, min(tokens, count * slabs.tokens)))
