"""Keys and values of all texts in pages: tensors under a table of pages."""

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from lepton_worker.backends.native.paged.attention import (
    NAME,
    Kernel,
    PagedStep,
    Rows,
    gathered,
)
from lepton_worker.backends.native.paged.layout import Query, layout, places
from lepton_worker.backends.native.paged.pages import SCRATCH, PagedText, PageTable
from lepton_worker.backends.native.prefix import NoRoom
from lepton_worker.backends.native.slots import LayerShape, layer_shapes
from lepton_worker.backends.native.work import Work
from lepton_worker.backends.transformers.loading import Loaded

CPU_PAGE = 16
"""Tokens of a page where no kernel asks for more."""
CACHED = 8
"""How many prefixes are kept for each text that may run; memory usually ends first."""


class PagedStore:
    """Pages for all texts, [pages, page, heads, size] for keys and for values of each layer."""

    attention = NAME

    def __init__(
        self,
        table: PageTable,
        shapes: Sequence[LayerShape],
        longest: int,
        dtype: torch.dtype,
        device: Any,
        kernel: Kernel = gathered,
    ) -> None:
        self.table = table
        self.layers = len(shapes)
        self.longest = min(longest, (table.count - 1) * table.page)
        self.kernel = kernel
        self.device = torch.device(device)
        count, page = table.count, table.page
        # Zeros, since kernels read whole pages and weigh what nobody wrote with nothing.
        self.keys = [
            torch.zeros((count, page, s.heads, s.key), dtype=dtype, device=device) for s in shapes
        ]
        self.values = [
            torch.zeros((count, page, s.heads, s.value), dtype=dtype, device=device) for s in shapes
        ]

    @property
    def owned(self) -> int:
        """How many texts run."""
        return self.table.owned

    @property
    def held(self) -> int:
        """Tokens of all pages that are taken, cached prefixes included."""
        return self.table.held * self.table.page

    def begin(self, owner: Hashable, ids: list[int], adapter: str, limit: int) -> PagedText:
        """Pages for a text; what it shares but cannot read in place has been copied."""
        text, copy = self.table.begin(owner, ids, adapter, limit)
        if copy is not None:
            with torch.inference_mode():
                for kept in (*self.keys, *self.values):
                    kept[copy.target, : copy.tokens].copy_(kept[copy.source, : copy.tokens])
        return text

    def of(self, owner: Hashable) -> PagedText | None:
        """The pages of a running text."""
        return self.table.of(owner)

    def grow(self, place: PagedText, tokens: int) -> None:
        """Have pages for so many tokens."""
        if tokens > self.longest:
            raise NoRoom(f"a text has {self.longest} tokens at most")
        self.table.reserve(place, tokens)

    def end(self, owner: Hashable, keep: bool = True) -> None:
        """Take a text's pages back; what is not to be kept may be no numbers and is erased."""
        freed = self.table.end(owner, keep)
        if not keep and freed:
            index = torch.tensor(freed, device=self.device)
            with torch.inference_mode():
                for kept in (*self.keys, *self.values):
                    kept.index_fill_(0, index, 0)

    def forget(self, adapter: str) -> None:
        """Drop the cached prefixes of an adapter."""
        self.table.forget(adapter)

    def clear(self, place: PagedText, first: int, last: int) -> None:
        """Set the state of some tokens to zero."""
        index = torch.tensor(self.rows(place, first, last), device=self.device)
        with torch.inference_mode():
            for kept in (*self.keys, *self.values):
                kept.flatten(0, 1).index_fill_(0, index, 0)

    def rows(self, place: PagedText, start: int, end: int) -> list[int]:
        """Where tokens are among all tokens of all pages."""
        return places(place.pages, self.table.page, start, end)

    def step(
        self, works: Sequence[Work], index: torch.Tensor, heads: int, checked: bool
    ) -> PagedStep:
        """One call of attention for all single tokens and one for all pieces of prompts."""
        single = sum(work.count == 1 for work in works)
        parts = [
            Rows.of(layout([self._query(work) for work in some], SCRATCH), first, self.device)
            for first, some in ((0, works[:single]), (single, works[single:]))
            if some
        ]
        return PagedStep(self.keys, self.values, index, parts, self.kernel, checked)

    def _query(self, work: Work) -> Query:
        text: Any = work.slot
        return Query(work.count, work.end, text.pages[: -(-work.end // self.table.page)])


def paged_store(
    loaded: Loaded, running: int, cache_tokens: int, page: int, kernel: Kernel
) -> PagedStore:
    """Pages for `running` texts at once that may hold `cache_tokens` tokens together.

    Texts rarely end with a full page: one more page for each makes up for that, and for SCRATCH.
    """
    module, longest = loaded.module, loaded.facts.max_length
    tokens = cache_tokens or running * longest
    count = -(-tokens // page) + running + 1
    table = PageTable(count, page, running, CACHED * running)
    shapes = layer_shapes(module)
    return PagedStore(table, shapes, min(longest, tokens), module.dtype, module.device, kernel)
