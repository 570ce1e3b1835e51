"""Encoder-decoder texts side by side: prompts of one length, then the next tokens of all."""

import logging
from collections.abc import Sequence

import torch

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.seq2seq_batch import Batch
from lepton_worker.backends.native.seq2seq_prompts import groups, read_together
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.backends.sampling.searcher import Searcher
from lepton_worker.backends.transformers.failures import request_failures
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.seq2seq import EncoderDecoder, given
from lepton_worker.errors import InternalError, RequestError

log = logging.getLogger(__name__)

Results = dict[int, Progress | RequestError]
"""What came of spans, by their places."""


class SideBySide:
    """Runs texts of an encoder-decoder, whose batch takes `room` tokens at most.

    A text whose encoder has run joins the batch, where there is room for it beside the padding that
    it brings; with a row for each beam where it is searched with beams. The others go on by
    themselves, as does one that leaves out a step.
    """

    def __init__(self, loaded: Loaded, room: int, sampler: Sampler) -> None:
        self._module = loaded.module
        self._alone = EncoderDecoder(loaded)
        self._sampler = sampler
        self._searcher = Searcher(loaded.facts.defaults, loaded.facts.vocabulary)
        self._padding = loaded.padding or 0
        self._batch = Batch(self._module, room)

    def begin(self, sequence: DecoderSequence) -> int:
        """An empty state; nothing of a prompt is ever known before its encoder has run."""
        self._alone.begin(sequence)
        return 0

    @torch.inference_mode()
    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """One token for each text of the batch, and prompts; one that fails does so alone."""
        places = {span.sequence: place for place, span in enumerate(spans)}
        results: Results = {}
        rows: dict[int, torch.Tensor] = {}
        self._keep(places, results)
        if self._batch.texts:
            self._together(places, rows, results)
        self._prompts(spans, rows)
        done = set(rows) | set(results)
        for place, span in enumerate(spans):
            if place not in done:
                self._by_itself(place, span, rows, results)
        self._choose(spans, rows, results)
        self._search(spans, rows, results)
        for place, span in enumerate(spans):
            if not isinstance(results[place], RequestError):
                self._join(span.sequence)
        return [results[place] for place in range(len(spans))]

    @torch.inference_mode()
    def evict(self, sequence: DecoderSequence) -> None:
        """Drop the caches; what the sampler has of the text stays."""
        self._batch.remove(sequence)
        self._alone.release(sequence)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget the sequence."""
        self.evict(sequence)
        self._sampler.release(sequence)

    def close(self) -> None:
        """Leave the module as it was."""
        self._batch.close()

    @property
    def texts(self) -> int:
        """How many sequences have begun."""
        return self._alone.texts

    @property
    def batched(self) -> int:
        """How many of them are in the batch."""
        return len(self._batch.texts)

    @property
    def held_tokens(self) -> int:
        """Tokens that the batch takes, padding included."""
        return self._batch.tokens

    def tensors_of(self, sequence: DecoderSequence) -> list[torch.Tensor]:
        """The keys and values of a text in the batch."""
        return self._batch.views(sequence)

    # -------------------------------------------------------------- the batch
    def _keep(self, places: dict[DecoderSequence, int], results: Results) -> None:
        """Have only texts of this step in the batch, and no more than fit with a token more."""
        for text in self._batch.texts:
            if text not in places:
                self._leave(text, places, results)
        while (long := self._batch.too_long()) is not None:
            self._leave(long, places, results)

    def _leave(
        self, text: DecoderSequence, places: dict[DecoderSequence, int], results: Results
    ) -> None:
        """Let a text go on by itself; one for which there is no memory fails alone."""
        state = self._alone.state(text)
        try:
            with request_failures():
                state.cache = self._batch.copy(text)
        except RequestError as error:
            if text in places:
                results[places[text]] = error
        self._batch.remove(text)

    def _join(self, sequence: DecoderSequence) -> None:
        """Take a text into the batch once its answer goes on, if it fits there."""
        state, search = self._alone.state(sequence), sequence.search
        left = sequence.sampling.max_new_tokens + len(sequence.prompt) - sequence.length
        over = left < 1 if search is None else search.done
        if state.cache is None or state.known + 1 != sequence.length or over:
            return
        rows = 1 if search is None else search.width
        if self._batch.fits(rows, state.fed + 1, len(sequence.prompt)):
            self._batch.add(sequence, state.cache, state.rows)
            state.cache = None

    def _together(
        self,
        places: dict[DecoderSequence, int],
        rows: dict[int, torch.Tensor],
        results: Results,
    ) -> None:
        """The logits of the texts in the batch by their places.

        Where that fails all leave the batch, to be tried one by one; where the device itself has
        failed, no other try is made.
        """
        try:
            found = self._batch.step()
        except torch.AcceleratorError as error:
            lost = _as_request_error(error)
            results |= {places[text]: lost for text in self._batch.texts}
            return
        except Exception as error:
            texts = self._batch.texts
            log.warning("a step of %d texts failed (%s); now one by one", len(texts), error)
            for text in texts:
                self._leave(text, places, results)
            return
        for text, logits in found:
            state = self._alone.state(text)
            state.known += 1
            state.fed += 1
            rows[places[text]] = logits

    # -------------------------------------------------------------- prompts
    def _prompts(self, spans: Sequence[Span], rows: dict[int, torch.Tensor]) -> None:
        """The first logits of whole prompts that are worth a forward together.

        Where that fails, each is left to be tried by itself.
        """
        fresh = [place for place, span in enumerate(spans) if self._is_fresh(span)]
        for group in groups([len(spans[place].sequence.prompt) for place in fresh]):
            places = [fresh[index] for index in group]
            sequences = [spans[place].sequence for place in places]
            begun = self._alone.beginning.tokens
            prompts = [sequence.prompt.ids for sequence in sequences]
            try:
                found = read_together(
                    self._module, self._alone.encoder, prompts, begun, self._padding
                )
            except Exception:
                log.debug("prompts could not be read together", exc_info=True)
                continue
            for place, sequence, (logits, state) in zip(places, sequences, found, strict=True):
                self._alone.put(sequence, state)
                rows[place] = logits

    def _is_fresh(self, span: Span) -> bool:
        """Whether the whole prompt of a new text is there, and its decoder begins as usual."""
        sequence = span.sequence
        try:
            state = self._alone.state(sequence)
        except KeyError:
            return False
        whole = state.known + span.count == sequence.length == len(sequence.prompt)
        usual = self._alone.beginning.of(sequence.sampling) == self._alone.beginning.tokens
        return whole and usual and sequence.sampling.max_new_tokens > 0

    # -------------------------------------------------------------- one text
    def _by_itself(
        self, place: int, span: Span, rows: dict[int, torch.Tensor], results: Results
    ) -> None:
        """The logits of a text in `rows`, or in `results` what comes without logits."""
        sequence = span.sequence
        try:
            with request_failures():
                logits = self._alone.forward(sequence, span.count)
        except RequestError as error:
            results[place] = error
            return
        known = self._alone.known(sequence)
        if known < sequence.length or not sequence.sampling.max_new_tokens:
            results[place] = Progress(None)
        elif logits is not None:
            rows[place] = logits
        else:
            results[place] = _chosen(sequence, given(sequence))

    # -------------------------------------------------------------- the next tokens
    def _choose(
        self, spans: Sequence[Span], rows: dict[int, torch.Tensor], results: Results
    ) -> None:
        """The next tokens of the texts that are not searched; all at once, unless that fails."""
        plain = {place: row for place, row in rows.items() if spans[place].sequence.search is None}
        if not plain:
            return
        sequences = [spans[place].sequence for place in plain]
        try:
            choices = self._sampler.choose(sequences, torch.cat(list(plain.values())))
        except Exception as error:
            if len(plain) == 1 or isinstance(error, torch.AcceleratorError):
                results |= dict.fromkeys(plain, _as_request_error(error))
                return
            log.warning("choosing %d tokens failed (%s); now one by one", len(plain), error)
            for place, row in plain.items():
                self._choose(spans, {place: row}, results)
            return
        for place, sequence, choice in zip(plain, sequences, choices, strict=True):
            results[place] = _chosen(sequence, choice)

    def _search(
        self, spans: Sequence[Span], rows: dict[int, torch.Tensor], results: Results
    ) -> None:
        """A step of each search, and its rows in the order of the new beams."""
        for place, logits in rows.items():
            sequence = spans[place].sequence
            if sequence.search is None:
                continue
            try:
                with request_failures():
                    results[place] = self._searched(sequence, logits)
            except RequestError as error:
                results[place] = error

    def _searched(self, sequence: DecoderSequence, logits: torch.Tensor) -> Progress:
        beginning = self._alone.beginning_of(sequence)
        progress, parents = self._searcher.step(sequence, logits, beginning)
        if progress.searching:
            if sequence in self._batch:
                self._batch.reorder(sequence, parents)
            else:
                self._alone.state(sequence).reorder(parents)
        return progress


def _as_request_error(error: Exception) -> RequestError:
    """The error of our own tree; what is a bug goes to the log."""
    try:
        with request_failures():
            raise error
    except RequestError as failure:
        return failure


def _chosen(
    sequence: DecoderSequence, choice: Choice | RequestError | None
) -> Progress | RequestError:
    if choice is None:
        return InternalError("a token without logits that is not given")
    if isinstance(choice, RequestError):
        return choice
    sequence.ids.append(choice.token)
    return Progress(choice.token, choice.logprob, choice.ended)
