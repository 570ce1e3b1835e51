"""Decode steps replayed from CUDA graphs: one launch in place of some hundred (CUDA only).

A graph repeats the kernels of one step on the same addresses. So the inputs of a step have buffers
that stay where they are, for as many rows as may run; a step of fewer texts takes the next larger
of a few sizes, and rows that are left over belong to nobody: they read one token of the page
SCRATCH and write to it. Only steps in which every text goes on by one token, by the model's own
weights, are replayed; all others run as before, over the same pages.

Graphs are captured when the model is loaded, and their logits held against those of a step without
one. Where a module cannot be captured (it waits for the device, or chooses kernels by what it has
computed), or the logits differ, every step runs without, and `why_not` says so.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.native.decoder_parity import TOLERANCE
from lepton_worker.backends.native.packed import PackedForward, Segments, segments, sound
from lepton_worker.backends.native.paged.attention import PagedStep, Rows
from lepton_worker.backends.native.paged.layout import Query, buckets, layout
from lepton_worker.backends.native.paged.pages import SCRATCH
from lepton_worker.backends.native.paged.store import PagedStore
from lepton_worker.backends.native.work import Work
from lepton_worker.request import Sampling, Tokens

log = logging.getLogger(__name__)

LEFT_OVER = Query(1, 1, (SCRATCH,))
TRIAL = (5, 300, 40)
"""Lengths of the texts whose next logits a graph has to agree on."""


class Buffers:
    """Inputs of decode steps of up to `most` texts, each at an address of its own for ever."""

    def __init__(self, most: int, width: int, device: torch.device) -> None:
        self._width = width
        self.ids = torch.zeros(most, dtype=torch.long, device=device)
        self.positions = torch.zeros_like(self.ids)
        self.index = torch.zeros_like(self.ids)
        self.starts = torch.arange(most + 1, dtype=torch.int32, device=device)
        self.seen = torch.ones(most, dtype=torch.int32, device=device)
        self.totals = torch.arange(most + 1, dtype=torch.int32, device=device)
        self.table = torch.full((most, width), SCRATCH, dtype=torch.int32, device=device)

    def rows(self, size: int) -> Rows:
        """The first `size` rows, as attention takes them: the same memory."""
        starts, totals = self.starts[: size + 1], self.totals[: size + 1]
        return Rows(0, size, starts, self.seen[:size], totals, self.table[:size], 1)

    def fill(self, store: PagedStore, works: Sequence[Work], size: int) -> None:
        """Put works, and rows of nobody's behind them, into the first `size` rows.

        The copies are in the order of the stream, in front of the replay that reads them.
        """
        page, spare = store.table.page, [0] * (size - len(works))
        pages = [work.slot.pages[: -(-work.end // page)] for work in map(_paged, works)]
        queries = [Query(1, work.end, own) for work, own in zip(works, pages, strict=True)]
        numbers = layout([*queries, *[LEFT_OVER] * len(spare)], SCRATCH, self._width)
        ids = [work.sequence.ids[work.start] for work in works]
        index = [store.rows(_paged(work).slot, work.start, work.end)[0] for work in works]
        positions = [work.start for work in works]
        for buffer, column in (
            (self.ids, ids + spare),
            (self.positions, positions + spare),
            (self.index, index + spare),
            (self.seen, numbers.seen),
            (self.totals, numbers.totals),
            (self.table, numbers.table),
        ):
            buffer[: len(column)].copy_(torch.tensor(column, dtype=buffer.dtype))


def _paged(work: Work) -> Any:
    """A work whose slot is a `PagedText`, as all are in a paged store."""
    return work


@dataclass(frozen=True)
class Graph:
    """A captured step: `replay` computes it again, into `logits` [rows, vocabulary]."""

    replay: Callable[[], None]
    logits: torch.Tensor


Recorder: TypeAlias = Callable[[Callable[[], torch.Tensor]], Graph]
"""Makes a graph of what a function computes of inputs at addresses that stay."""


class CudaRecorder:
    """Records CUDA graphs, which share one pool of memory: only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Callable[[], torch.Tensor]) -> Graph:
        """Run it twice aside, so that kernels are chosen and memory is there, then record it."""
        side: Any = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(2):
                compute()
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = compute()
        return Graph(graph.replay, logits)


class GraphedForward(PackedForward):
    """A packed forward that replays decode steps of at most `most` texts where it can.

    `why_not` is None once graphs are in use.
    """

    def __init__(
        self, module: Any, store: PagedStore, begin_segments: Segments | None, most: int
    ) -> None:
        super().__init__(module, store, begin_segments)
        self._pages = store
        self._sizes = buckets(most)
        self._graphs: dict[int, Graph] = {}
        self._buffers: Buffers | None = None
        self.why_not: str | None = "not captured yet"

    def capture(self, recorder: Callable[[torch.device], Recorder] = CudaRecorder) -> None:
        """Capture a graph for each size, largest first, and try one; on failure there are none.

        Takes texts and pages of the store for a moment; nothing of them stays.
        """
        try:
            with torch.inference_mode():
                self._warm()
                width = -(-self._pages.longest // self._pages.table.page)
                self._buffers = Buffers(self._sizes[-1], width, self._pages.device)
                record = recorder(self._pages.device)
                for size in reversed(self._sizes):
                    self._graphs[size] = record(partial(self._compute, size))
                self.why_not = self._disagreement()
        except Exception as error:
            log.info("no CUDA graphs for this model", exc_info=True)
            self.why_not = f"{type(error).__name__}: {error}"
        if self.why_not is not None:
            self._graphs, self._buffers = {}, None

    def run(self, works: Sequence[Work]) -> tuple[torch.Tensor, list[bool]]:
        """See `PackedForward.run`; the logits are overwritten by the next step."""
        if self._graphs and all(map(_goes_on, works)) and len(works) <= self._sizes[-1]:
            return self._replayed(works)
        return super().run(works)

    def _replayed(self, works: Sequence[Work]) -> tuple[torch.Tensor, list[bool]]:
        assert self._buffers is not None
        size = next(size for size in self._sizes if size >= len(works))
        if self._begin_segments is not None:
            self._begin_segments(segments(works), None)
        found = self._graphs[size]
        with torch.inference_mode():
            self._buffers.fill(self._pages, works, size)
            found.replay()
            logits = found.logits[: len(works)]
            # Whoever reads this has waited for the replay: the buffers are free for the next step.
            fine = sound(works, logits, None)
        for work in works:
            work.slot.known = work.end
        return logits, fine

    def _compute(self, size: int) -> torch.Tensor:
        """A step of `size` rows over the buffers."""
        assert self._buffers is not None
        store, buffers = self._pages, self._buffers
        index, rows = buffers.index[:size], buffers.rows(size)
        step = PagedStep(store.keys, store.values, index, [rows], store.kernel)
        if self._begin_segments is not None:
            self._begin_segments([("", size)], None)
        ids, positions = buffers.ids[:size], buffers.positions[:size]
        return self._logits(step, ids, positions, {}).float()

    def _warm(self) -> None:
        """One step without a graph, in which masks are looked at and kernels are chosen."""
        with _Texts(self._pages, (2,)) as texts:
            super().run(texts.works(-1))

    def _disagreement(self) -> str | None:
        """None when texts side by side get the same next logits from a graph and without one."""
        bound = TOLERANCE.get(self._pages.keys[0].dtype, 0.0)
        table = self._pages.table
        count = min(len(TRIAL), table.running)
        longest = min(self._pages.longest, (table.count - 1) // count * table.page)
        lengths = [min(length, longest) for length in TRIAL[:count]]
        with _Texts(self._pages, lengths) as texts:
            for prompt in texts.works(-1):
                super().run([prompt])
            own = super().run(texts.works(1))[0].clone()
            texts.back(1)
            replayed = self._replayed(texts.works(1))[0]
            difference = float((replayed - own).abs().max() / own.abs().max())
        if difference <= bound:
            return None
        return f"logits of a graph differ by {difference:.1e} of the largest"


class _Texts:
    """A few texts of a trial in a store, which are gone afterwards."""

    def __init__(self, store: PagedStore, lengths: Sequence[int]) -> None:
        self._store = store
        self._texts = [
            DecoderSequence(Tokens(tuple(1 + place % 7 for place in range(length))), Sampling(1))
            for length in lengths
        ]

    def __enter__(self) -> "_Texts":
        for text in self._texts:
            self._store.begin(text, text.ids, "", 0)
        return self

    def __exit__(self, *_: object) -> None:
        for text in self._texts:
            self._store.end(text, keep=False)

    def works(self, count: int) -> list[Work]:
        """The next `count` tokens of each text, or all but the last so many."""
        works = []
        for place, text in enumerate(self._texts):
            slot = self._store.of(text)
            assert slot is not None
            tokens = count if count > 0 else len(text.ids) + count
            self._store.grow(slot, slot.known + tokens)
            works.append(Work(place, text, slot, slot.known, tokens, 1))
        return works

    def back(self, count: int) -> None:
        """Forget the last tokens of each text."""
        for text in self._texts:
            slot = self._store.of(text)
            assert slot is not None
            slot.known -= count


def _goes_on(work: Work) -> bool:
    """Whether a work is the next token of a text, with the model's own weights."""
    return work.count == 1 and work.rows == 1 and not work.sequence.adapter
