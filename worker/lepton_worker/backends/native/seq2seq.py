"""Encoder-decoder texts side by side: prompts of one length, then the next tokens of all."""

import logging
from collections.abc import Sequence

import torch
from transformers.modeling_outputs import BaseModelOutput

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.seq2seq_cache import Rows
from lepton_worker.backends.native.seq2seq_positions import Positions
from lepton_worker.backends.native.seq2seq_prompts import groups, read_together
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.backends.transformers.failures import request_failures
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.seq2seq import EncoderDecoder, given
from lepton_worker.errors import InternalError, RequestError

log = logging.getLogger(__name__)


class SideBySide:
    """Runs texts of an encoder-decoder, whose batch takes `room` tokens at most.

    A text whose encoder has run joins the batch, where there is room for it beside the padding that
    it brings. The others go on by themselves, as does one that leaves out a step.
    """

    def __init__(self, loaded: Loaded, room: int, sampler: Sampler) -> None:
        self._module = loaded.module
        self._alone = EncoderDecoder(loaded)
        self._sampler, self._room = sampler, room
        self._padding = loaded.padding or 0
        self._rows, self._members = Rows(), list[DecoderSequence]()
        self._positions = Positions(self._module.get_decoder())

    def begin(self, sequence: DecoderSequence) -> int:
        """An empty state; nothing of a prompt is ever known before its encoder has run."""
        self._alone.begin(sequence)
        return 0

    @torch.inference_mode()
    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """One token for each text of the batch, and prompts; one that fails does so alone."""
        places = {span.sequence: place for place, span in enumerate(spans)}
        self._keep([member for member in self._members if member in places])
        results: dict[int, Progress | RequestError] = {}
        rows: dict[int, torch.Tensor] = {}
        if self._members:
            self._together(places, rows, results)
        self._prompts(spans, rows)
        done = set(rows) | set(results)
        for place, span in enumerate(spans):
            if place not in done:
                self._by_itself(place, span, rows, results)
        self._choose(spans, rows, results)
        for place, span in enumerate(spans):
            if not isinstance(results[place], RequestError):
                self._join(span.sequence)
        return [results[place] for place in range(len(spans))]

    @torch.inference_mode()
    def evict(self, sequence: DecoderSequence) -> None:
        """Drop the caches; what the sampler has of the text stays."""
        if sequence in self._members:
            self._remove(sequence)
        self._alone.release(sequence)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget the sequence."""
        self.evict(sequence)
        self._sampler.release(sequence)

    def close(self) -> None:
        """Leave the module as it was."""
        self._positions.close()

    @property
    def texts(self) -> int:
        """How many sequences have begun."""
        return self._alone.texts

    @property
    def batched(self) -> int:
        """How many of them are in the batch."""
        return len(self._members)

    @property
    def held_tokens(self) -> int:
        """Tokens that the batch takes, padding included."""
        return self._rows.tokens()

    def tensors_of(self, sequence: DecoderSequence) -> list[torch.Tensor]:
        """The keys and values of a text in the batch."""
        return self._rows.views(self._members.index(sequence))

    # -------------------------------------------------------------- the batch
    def _keep(self, wanted: list[DecoderSequence]) -> None:
        """Have only `wanted` texts in the batch, and no more of them than fit with a token more."""
        for member in list(self._members):
            if member not in wanted:
                self._leave(member)
        while self._members and self._rows.tokens() + len(self._rows) > self._room:
            lengths = zip(self._rows.lengths(), self._rows.prompts, self._members, strict=True)
            self._leave(max(lengths, key=lambda item: item[0] + item[1])[2])

    def _leave(self, sequence: DecoderSequence) -> None:
        """Let a text go on by itself."""
        row = self._members.index(sequence)
        self._alone.state(sequence).cache = self._rows.copy(row)
        self._remove(sequence)

    def _remove(self, sequence: DecoderSequence) -> None:
        row = self._members.index(sequence)
        self._rows.remove(row)
        self._members[row] = self._members[-1]
        self._members.pop()

    def _join(self, sequence: DecoderSequence) -> None:
        """Take a text into the batch once its answer goes on, if it fits there."""
        state = self._alone.state(sequence)
        left = sequence.sampling.max_new_tokens + len(sequence.prompt) - len(sequence.ids)
        if state.cache is None or state.known + 1 != len(sequence.ids) or left < 1:
            return
        fed, prompt = state.fed + 1, len(sequence.prompt)
        if self._rows.tokens(1, fed, prompt) + len(self._rows) + 1 <= self._room:
            self._rows.add(state.cache)
            self._members.append(sequence)
            state.cache = None

    def _together(
        self,
        places: dict[DecoderSequence, int],
        rows: dict[int, torch.Tensor],
        results: dict[int, Progress | RequestError],
    ) -> None:
        """The logits of the texts in the batch by their places; or the same error for all."""
        try:
            with request_failures():
                logits = self._next(self._members)
        except RequestError as error:
            results |= {places[member]: error for member in self._members}
            return
        for member, row in zip(self._members, logits, strict=True):
            state = self._alone.state(member)
            state.known += 1
            state.fed += 1
            rows[places[member]] = row[None]

    def _next(self, members: Sequence[DecoderSequence]) -> torch.Tensor:
        """Logits [rows, vocabulary] behind the newest token of each, float32."""
        module, rows = self._module, self._rows
        cache = rows.caches()
        answers, prompts = rows.masks()
        # Of what was read only the shape is looked at: its keys and values are in the cache.
        shape = (len(members), rows.longest, module.config.hidden_size)
        read = torch.zeros(1, dtype=module.dtype, device=module.device).expand(shape)
        self._positions.set(rows.lengths())
        try:
            found = module(
                encoder_outputs=BaseModelOutput(last_hidden_state=read),
                attention_mask=prompts,
                decoder_attention_mask=answers,
                decoder_input_ids=torch.tensor(
                    [[member.ids[-1]] for member in members], device=module.device
                ),
                past_key_values=cache,
                use_cache=True,
            )
        finally:
            self._positions.set(())
        rows.stepped()
        logits: torch.Tensor = found.logits[:, -1].float()
        return logits

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
        whole = state.known + span.count == len(sequence.ids) == len(sequence.prompt)
        usual = self._alone.beginning.of(sequence.sampling) == self._alone.beginning.tokens
        return whole and usual and sequence.sampling.max_new_tokens > 0

    # -------------------------------------------------------------- one text
    def _by_itself(
        self,
        place: int,
        span: Span,
        rows: dict[int, torch.Tensor],
        results: dict[int, Progress | RequestError],
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
        if known < len(sequence.ids) or not sequence.sampling.max_new_tokens:
            results[place] = Progress(None)
        elif logits is not None:
            rows[place] = logits
        else:
            results[place] = _chosen(sequence, given(sequence))

    def _choose(
        self,
        spans: Sequence[Span],
        rows: dict[int, torch.Tensor],
        results: dict[int, Progress | RequestError],
    ) -> None:
        if not rows:
            return
        sequences = [spans[place].sequence for place in rows]
        choices = self._sampler.choose(sequences, torch.cat(list(rows.values())))
        for place, sequence, choice in zip(rows, sequences, choices, strict=True):
            results[place] = _chosen(sequence, choice)


def _chosen(
    sequence: DecoderSequence, choice: Choice | RequestError | None
) -> Progress | RequestError:
    if choice is None:
        return InternalError("a token without logits that is not given")
    if isinstance(choice, RequestError):
        return choice
    sequence.ids.append(choice.token)
    return Progress(choice.token, choice.logprob, choice.ended)
