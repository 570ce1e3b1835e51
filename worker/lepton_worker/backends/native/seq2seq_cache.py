"""The caches of several encoder-decoder texts side by side, of which each may have its own length.

Answers stand so that their newest tokens share a column: a step writes one column for all rows, and
two tokens of an answer are as far apart as they are in the text, which is all that relative
positions ask for. What is in front of a shorter answer, and behind a shorter prompt, is masked, and
zero: a mask makes nothing of numbers that are none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache

GROWTH = 1.5
"""How much more room is taken than is needed, so that it is seldom taken anew."""
HELD = 4
"""How much memory is held in all at the most, for one token that texts take: once by themselves,
GROWTH squared times in the batch, and what is left between."""
LEAST = 32
"""Columns."""


@dataclass
class Slab:
    """Keys and values of all layers, each [rows, heads, columns, numbers]."""

    tensors: list[torch.Tensor] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that there is room for."""
        return self.tensors[0].shape[0] if self.tensors else 0

    @property
    def columns(self) -> int:
        """Columns that there is room for."""
        return self.tensors[0].shape[2] if self.tensors else 0

    def resize(self, like: list[torch.Tensor], rows: int, columns: int) -> "Slab":
        """An empty slab for tensors of the kind of `like`."""
        return Slab([t.new_zeros((rows, t.shape[1], columns, t.shape[3])) for t in like])


class Column(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values of the rows in use; what a step adds goes into one column."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, known: int) -> None:
        """Views [rows, heads, known + 1, numbers], of which the last column is to be written."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self._known = keys, values, known
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the column; all columns up to it."""
        assert self.keys is not None
        assert self.values is not None
        self.keys[:, :, self._known :].copy_(key_states)
        self.values[:, :, self._known :].copy_(value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Columns in front of the one that is written, before and after."""
        return self._known


class Rows:
    """The texts of a batch: one row each, without gaps, in any order."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.prompts: list[int] = []
        self._clock = 0
        self._answers, self._read = Slab(), Slab()

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def window(self) -> int:
        """Columns of the longest answer."""
        return self._clock - min(self.starts, default=self._clock)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(self.prompts, default=0)

    def lengths(self) -> list[int]:
        """How many tokens each row's decoder has read."""
        return [self._clock - start for start in self.starts]

    def tokens(self, more: int = 0, answer: int = 0, prompt: int = 0) -> int:
        """Tokens that the rows take with their padding, and with `more` rows of such lengths."""
        return (len(self) + more) * (max(self.window, answer) + max(self.longest, prompt))

    def add(self, cache: EncoderDecoderCache, source: int = 0) -> None:
        """Copy the state of one text, which is row `source` of a cache, behind the last row."""
        answer, read = tensors(cache.self_attention_cache), tensors(cache.cross_attention_cache)
        length, prompt = answer[0].shape[2], read[0].shape[2]
        row = len(self)
        self._make_room(answer, row + 1, length)
        if row + 1 > self._read.rows or prompt > self._read.columns:
            wide = max(int(GROWTH * prompt), self.longest, LEAST)
            grown = self._read.resize(read, _more(row + 1, self._read.rows), wide)
            _copy(self._read, grown, row, slice(0, self.longest), 0)
            self._read = grown
        self.starts.append(self._clock - length)
        self.prompts.append(prompt)
        for (slab, part), tensor in zip(self._parts(row), [*answer, *read], strict=True):
            _put(slab[row], part, tensor[source])

    def remove(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = len(self) - 1
        if row != last:
            for slab, part in self._parts(last):
                _put(slab[row], part, slab[last, :, part])
            self.starts[row], self.prompts[row] = self.starts[last], self.prompts[last]
        self.starts.pop()
        self.prompts.pop()

    def copy(self, rows: list[int]) -> EncoderDecoderCache:
        """The state of some rows that are equally long, as if they had never been beside others."""
        parts = [slab[rows, :, part] for slab, part in self._parts(rows[0])]
        half = len(self._answers.tensors)
        return EncoderDecoderCache(dynamic(parts[:half]), dynamic(parts[half:]))

    def reorder(self, rows: list[int], parents: list[int]) -> None:
        """Make each of the rows, which have read the same and answered equally long, go on from
        the answer of the row at the place of its parent among them."""
        moves = [(row, rows[parent]) for row, parent in zip(rows, parents, strict=True)]
        moves = [(row, source) for row, source in moves if row != source]
        if moves:
            part = slice(self.starts[rows[0]], self._clock)
            targets, sources = ([move[side] for move in moves] for side in (0, 1))
            for slab in self._answers.tensors:
                slab[targets, :, part] = slab[sources, :, part]

    def views(self, row: int) -> list[torch.Tensor]:
        """The keys and values of one row, each [heads, tokens, numbers]."""
        return [slab[row, :, part] for slab, part in self._parts(row)]

    def _parts(self, row: int) -> Iterator[tuple[torch.Tensor, slice]]:
        answer, read = slice(self.starts[row], self._clock), slice(0, self.prompts[row])
        yield from ((slab, answer) for slab in self._answers.tensors)
        yield from ((slab, read) for slab in self._read.tensors)

    # -------------------------------------------------------------- one step
    def caches(self) -> EncoderDecoderCache:
        """What a step of one token for each row reads and writes."""
        self._make_room(self._answers.tensors, len(self), 0)
        rows, low = len(self), min(self.starts)
        known = self._clock - low
        columns: list[Any] = [
            Column(
                keys[:rows, :, low : self._clock + 1],
                values[:rows, :, low : self._clock + 1],
                known,
            )
            for keys, values in _pairs(self._answers.tensors)
        ]
        read = [tensor[:rows, :, : self.longest] for tensor in self._read.tensors]
        return EncoderDecoderCache(Cache(layers=columns), dynamic(read))

    def masks(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """What is not padding: of answers [rows, window + 1], and of prompts [rows, longest].

        None where there is no padding.
        """
        low = min(self.starts)
        answers = [start - low for start in self.starts]
        span = self._clock - low + 1
        device = self._answers.tensors[0].device
        first = torch.tensor(answers, device=device)[:, None]
        last = torch.tensor(self.prompts, device=device)[:, None]
        return (
            (torch.arange(span, device=device) >= first).long() if any(answers) else None,
            (torch.arange(self.longest, device=device) < last).long()
            if min(self.prompts) < self.longest
            else None,
        )

    def stepped(self) -> None:
        """Keep the column that a step has written."""
        self._clock += 1

    def _make_room(self, like: list[torch.Tensor], rows: int, length: int) -> None:
        """Have `rows` rows, `length` columns up to the clock, and one behind it."""
        if not len(self):
            self._clock = length
        slab = self._answers
        if rows <= slab.rows and length <= self._clock < slab.columns:
            return
        window = self.window
        clock = max(window, length)
        grown = slab.resize(like, _more(rows, slab.rows), max(int(GROWTH * (clock + 1)), LEAST))
        _copy(slab, grown, len(self), slice(self._clock - window, self._clock), clock - window)
        self.starts = [start + clock - self._clock for start in self.starts]
        self._answers, self._clock = grown, clock


def _put(row: torch.Tensor, part: slice, content: torch.Tensor) -> None:
    """Fill columns of a row [heads, columns, numbers], and clear the others."""
    row[:, : part.start] = 0
    row[:, part] = content
    row[:, part.stop :] = 0


def _more(rows: int, have: int) -> int:
    return rows if rows <= have else max(rows, int(GROWTH * have))


def _copy(old: Slab, new: Slab, rows: int, columns: slice, first: int) -> None:
    width = columns.stop - columns.start
    if rows and width:
        for source, target in zip(old.tensors, new.tensors, strict=True):
            target[:rows, :, first : first + width] = source[:rows, :, columns]


def _pairs(tensors: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(tensors[::2], tensors[1::2], strict=True))


def tensors(cache: Any) -> list[torch.Tensor]:
    """Keys and values of all layers, one after the other."""
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def dynamic(tensors: list[torch.Tensor]) -> DynamicCache:
    """A cache that has these keys and values already."""
    cache = DynamicCache()
    for keys, values in _pairs(tensors):
        layer = DynamicLayer()  # type: ignore[no-untyped-call]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache
