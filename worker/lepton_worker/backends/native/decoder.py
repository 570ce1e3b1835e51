"""The decoder: which texts run, what a step computes of them, and what comes of it."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.choosing import Sampler
from lepton_worker.backends.native.drafts import concluded, goes_on, plain, settled, with_draft
from lepton_worker.backends.native.packed import PackedForward, Segments, Work
from lepton_worker.backends.native.prefix import NoRoom
from lepton_worker.backends.native.prompts import PromptReport
from lepton_worker.backends.native.store import Store, slot_store
from lepton_worker.backends.speculation.drafting import Drafts
from lepton_worker.backends.transformers.failures import is_out_of_memory
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.errors import InternalError, OutOfMemory, RequestError
from lepton_worker.request import TokenLogprob

log = logging.getLogger(__name__)


@dataclass
class Text:
    """What is kept of a sequence from its first `begin` to its release."""

    report: PromptReport | None


class TextDecoder:
    """Runs texts whose state is in a store; a module should be held against its own forward by
    `decoder_parity.check` first. `drafts` guesses tokens ahead, if there is one.
    """

    def __init__(self, forward: PackedForward, store: Store, sampler: Sampler) -> None:
        self._forward = forward
        self._store = store
        self._sampler = sampler
        self._texts: dict[DecoderSequence, Text] = {}
        self.drafts: Drafts | None = None

    def begin(self, sequence: DecoderSequence) -> int:
        """Give a sequence a slot; returns how many of its tokens have state already."""
        text = self._texts.get(sequence) or Text(_report(sequence))
        limit = len(sequence.ids) - 1
        if text.report is not None and not text.report.finished:
            limit = min(limit, text.report.reusable())
        try:
            place = self._store.begin(sequence, sequence.ids, sequence.adapter, limit)
        except NoRoom as error:
            raise InternalError(f"no slot for one more text: {error}") from error
        self._texts[sequence] = text
        return place.known

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """Compute spans, all in one packed row; one that fails does so alone."""
        results: dict[int, Progress | RequestError] = {}
        works = []
        for place, span in enumerate(spans):
            work = self._admit(place, span)
            if isinstance(work, Work):
                works.append(work)
            else:
                results[place] = work
        self._draft(works)
        # Tokens of one adapter together, and single ones in the order of their slots.
        works.sort(key=lambda work: (work.count > 1, work.sequence.adapter, work.slot.index))
        if works:
            with torch.inference_mode():
                results |= self._compute(works)
        return [results[place] for place in range(len(spans))]

    def evict(self, sequence: DecoderSequence) -> None:
        """Take the slot of a sequence; what it needs besides stays."""
        self._store.end(sequence)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget a sequence; what it leaves in its slot may serve another one."""
        self._store.end(sequence)
        if self._texts.pop(sequence, None) is not None:
            self._sampler.release(sequence)
        if self.drafts is not None:
            self.drafts.release(sequence)

    def forget_adapter(self, name: str) -> None:
        """Use nothing again that an adapter computed: its weights are others now, or gone."""
        self._store.forget(name)

    def close(self) -> None:
        """Give the module its own attention back."""
        self._forward.close()

    @property
    def texts(self) -> int:
        """How many sequences are known, running or evicted."""
        return len(self._texts)

    @property
    def running(self) -> int:
        """How many sequences have a slot."""
        return self._store.owned

    @property
    def held_tokens(self) -> int:
        """Tokens whose state takes memory, cached prefixes included."""
        return self._store.held

    def _admit(self, place: int, span: Span) -> Work | RequestError:
        """A span with its slot and memory, or why it has none."""
        sequence, slot = span.sequence, self._store.of(span.sequence)
        if slot is None:
            return InternalError("a step for a text that was not begun")
        end = slot.known + span.count
        if span.count < 1 or end > len(sequence.ids):
            return InternalError(f"{span.count} tokens cannot follow {slot.known} in this text")
        try:
            self._store.grow(slot, end)
        except NoRoom as error:
            return OutOfMemory(f"no memory for the state of this text: {error}")
        report = self._texts[sequence].report
        reports = report is not None and not report.finished
        work = Work(place, sequence, slot, slot.known, span.count, span.count if reports else 0)
        work.rows = max(work.rows, int(work.reaches_end))
        return work

    def _draft(self, works: list[Work]) -> None:
        """Put guesses behind the next tokens of texts, where they are worth it and have room."""
        if self.drafts is None:
            return
        going = [work for work in works if work.count == 1 and work.reaches_end]
        found = self.drafts.draft([work.sequence for work in going], self._store.owned)
        for work, draft in zip(going, found, strict=True):
            report = self._texts[work.sequence].report
            if draft and (report is None or report.finished):
                with contextlib.suppress(NoRoom):
                    self._store.grow(work.slot, work.start + 1 + len(draft))
                    with_draft(work, draft)

    def _compute(self, works: list[Work]) -> dict[int, Progress | RequestError]:
        """What comes of works computed together, or one by one when that fails."""
        try:
            logits, sound = self._forward.run(works)
        except Exception as error:
            if len(works) == 1 and works[0].draft:
                return self._compute([plain(works[0])])
            if len(works) == 1:
                return {works[0].place: self._failed(works[0], error)}
            log.warning("a step of %d texts failed (%s); now one by one", len(works), error)
            results: dict[int, Progress | RequestError] = {}
            for work in works:
                results |= self._compute([work])
            return results
        return self._conclude(works, logits, sound)

    def _conclude(
        self, works: list[Work], logits: torch.Tensor, sound: list[bool]
    ) -> dict[int, Progress | RequestError]:
        """Report on prompts and choose tokens, by the logits of all works."""
        results: dict[int, Progress | RequestError] = {}
        chosen, first = [], 0
        for work, fine in zip(works, sound, strict=True):
            last = first + work.rows
            if not fine:
                results |= self._overflowed(work)
            else:
                prompt = self._reported(work, logits[first:last])
                results[work.place] = Progress(None, prompt=prompt)
                if work.reaches_end:
                    chosen.append((work, last - 1 - len(work.draft)))
            first = last
        self._write(chosen, logits, results)
        return results

    def _overflowed(self, work: Work) -> dict[int, Progress | RequestError]:
        """A text whose numbers are none; by guesses alone, it goes on without them."""
        if work.draft:
            work.slot.known = work.start
            self._store.clear(work.slot, work.start, work.end)
            return self._compute([plain(work)])
        self._store.end(work.sequence, keep=False)
        return {work.place: InternalError("the model's numbers overflowed on this text")}

    def _write(
        self,
        chosen: list[tuple[Work, int]],
        logits: torch.Tensor,
        results: dict[int, Progress | RequestError],
    ) -> None:
        """Choose the next token of each work by its row of the logits, then those behind right
        guesses: each exactly as it would be in a step of its own."""
        going, place = chosen, 0
        while going:
            rows = [row + place for _, row in going]
            own = logits if len(rows) == len(logits) else logits[rows]
            self._choose([work for work, _ in going], own, results)
            going = [pair for pair in going if goes_on(pair[0], results[pair[0].place], place)]
            place += 1
        for work, _ in chosen:
            outcome = results[work.place]
            if work.draft:
                slot = self._store.of(work.sequence)
                results[work.place] = outcome = settled(work, slot, outcome)
            if self.drafts is not None and isinstance(outcome, Progress):
                self.drafts.verified(work.sequence, outcome.drafted, len(outcome.further))

    def _reported(self, work: Work, logits: torch.Tensor) -> tuple[TokenLogprob, ...]:
        report = self._texts[work.sequence].report
        if report is None or report.finished:
            return ()
        return report.take(work.sequence.ids, work.start, logits)

    def _choose(
        self,
        works: list[Work],
        logits: torch.Tensor,
        results: dict[int, Progress | RequestError],
    ) -> None:
        """Choose the next token of each work and append it."""
        try:
            choices = self._sampler.choose([work.sequence for work in works], logits)
        except Exception as error:
            if len(works) == 1:
                results[works[0].place] = self._failed(works[0], error)
                return
            log.warning("choosing %d tokens failed (%s); now one by one", len(works), error)
            for row, work in enumerate(works):
                self._choose([work], logits[row : row + 1], results)
            return
        for work, choice in zip(works, choices, strict=True):
            done = results[work.place]
            assert isinstance(done, Progress)
            results[work.place] = concluded(work, choice, done)

    def _failed(self, work: Work, error: Exception) -> RequestError:
        """A text that failed alone; nothing of its state is used again."""
        self._store.end(work.sequence, keep=False)
        if isinstance(error, RequestError):
            return error
        if is_out_of_memory(error):
            return OutOfMemory("there was not enough memory for this request")
        log.error("the model failed", exc_info=error)
        return InternalError("the model failed on this request; the log says how")


class SlotDecoder(TextDecoder):
    """Runs `slots` texts at once in slots, which hold at most `cache_tokens` tokens together.

    Raises TaskNotSupported for models whose modules do not fit.
    """

    def __init__(
        self,
        loaded: Loaded,
        slots: int,
        cache_tokens: int,
        sampler: Sampler,
        begin_segments: Segments | None = None,
    ) -> None:
        store = slot_store(loaded, slots, cache_tokens)
        super().__init__(PackedForward(loaded.module, store, begin_segments), store, sampler)


def _report(sequence: DecoderSequence) -> PromptReport | None:
    if not sequence.sampling.prompt_logprobs:
        return None
    return PromptReport(len(sequence.prompt), sequence.sampling.logprobs or 0)
