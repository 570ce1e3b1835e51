"""The backend over stock torch and transformers: any architecture, one text at a time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lepton_worker.backends.base import (
    AdapterFacts,
    DecoderSequence,
    EncodeInput,
    LoadOrder,
    Progress,
    Span,
)
from lepton_worker.backends.sampling.logprobs import prompt_logprobs
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.backends.sampling.searcher import Searcher
from lepton_worker.backends.transformers.decoder import Decoder
from lepton_worker.backends.transformers.encoder import Encoder
from lepton_worker.backends.transformers.failures import NOT_FINITE, load_failures, request_failures
from lepton_worker.backends.transformers.loading import Loaded, load_model
from lepton_worker.backends.transformers.seq2seq import EncoderDecoder, given
from lepton_worker.errors import InvalidSetting, RequestError, WeightsCorrupt
from lepton_worker.model import Model
from lepton_worker.request import Sampling, Task, TokenLogprob, Tokens, Vector

NO_ADAPTERS = "the backend transformers takes no adapters; the backend native does"


class TransformersBackend:
    """Encoders run in padded batches; decoders one sequence at a time, each with its own cache."""

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._decoder: Decoder | EncoderDecoder | None = None
        self._sampler: Sampler | None = None
        self._searcher: Searcher | None = None
        self._told: dict[DecoderSequence, int] = {}

    def load(self, order: LoadOrder) -> Model:
        """Load a folder in `save_pretrained` format."""
        torch.set_num_threads(order.threads)
        with load_failures(order.folder):
            loaded = load_model(order)
        return self.use(loaded, order)

    def use(self, loaded: Loaded, order: LoadOrder) -> Model:
        """Take a module that is loaded already."""
        facts = loaded.facts
        if facts.encoder_decoder:
            self._decoder = EncoderDecoder(loaded)
            begun = self._decoder.beginning.tokens
            self._sampler = Sampler(facts.defaults, facts.vocabulary, None, begun)
            self._searcher = Searcher(facts.defaults, facts.vocabulary)
        elif order.task is Task.GENERATE:
            self._decoder = Decoder(loaded)
            self._sampler = Sampler(facts.defaults, facts.vocabulary, None)
        else:
            self._encoder = Encoder(loaded, order.pooling if order.task is Task.EMBED else None)
        return replace(facts, slots=order.slots)

    def warm_up(self) -> None:
        """One forward on one token; its answer has to be made of numbers."""
        with load_failures(None):
            if self._encoder is not None:
                finite = bool(torch.isfinite(self._encoder.forward([self._encoder.trial])).all())
            else:
                finite = self._decode_trial(Tokens((0,)))
        if not finite:
            raise WeightsCorrupt(NOT_FINITE)

    def _decode_trial(self, trial: Tokens) -> bool:
        assert self._decoder is not None
        sequence = DecoderSequence(trial, Sampling(max_new_tokens=1))
        self._decoder.begin(sequence)
        logits = self._decoder.forward(sequence, 1)
        self._decoder.release(sequence)
        assert logits is not None, "nothing is given in a trial"
        return bool(torch.isfinite(logits).any()) and not bool(torch.isnan(logits).any())

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """Padded to the longest input of the batch."""
        assert self._encoder is not None, "encode on a model that generates"
        with request_failures():
            rows = self._encoder.forward([item.tokens for item in inputs]).float().cpu().numpy()
            if rows.ndim == 2:
                return list(rows)
            # Heads for tokens: without the rows of padding.
            pairs = zip(rows, inputs, strict=True)
            return [row[: len(item.tokens)] for row, item in pairs]

    def begin(self, sequence: DecoderSequence) -> int:
        """An empty cache."""
        assert self._decoder is not None, "begin on a model that encodes"
        self._decoder.begin(sequence)
        return 0

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """One forward for each sequence, so that none can change or fail another one."""
        return [self._progress(span) for span in spans]

    def _progress(self, span: Span) -> Progress | RequestError:
        try:
            with request_failures():
                return self._computed(span)
        except RequestError as error:
            return error

    def _computed(self, span: Span) -> Progress:
        assert self._decoder is not None, "step on a model that encodes"
        assert self._sampler is not None
        sequence, sampling = span.sequence, span.sequence.sampling
        begun = self._decoder.known(sequence)
        if sequence.search is not None:
            return self._searched(sequence, span.count)
        logits = self._decoder.forward(sequence, span.count, sampling.prompt_logprobs)
        ended = begun + span.count
        prompt: tuple[TokenLogprob, ...] = ()
        if sampling.prompt_logprobs and logits is not None:
            prompt = self._reported(sequence, logits, ended)
        if ended < len(sequence.ids) or sampling.max_new_tokens == 0:
            return Progress(None, prompt=prompt)
        choice: Choice | RequestError | None = given(sequence)
        if logits is not None:
            [choice] = self._sampler.choose([sequence], logits[-1:])
        assert choice is not None, "a token without logits that is not given"
        if not isinstance(choice, Choice):
            raise choice
        sequence.ids.append(choice.token)
        return Progress(choice.token, choice.logprob, choice.ended, prompt)

    def _searched(self, sequence: DecoderSequence, count: int) -> Progress:
        """A step of a beam search, once its prompt is whole."""
        assert isinstance(self._decoder, EncoderDecoder), "only these have searches"
        assert self._searcher is not None
        logits = self._decoder.forward(sequence, count)
        if logits is None:
            return Progress(None)
        beginning = self._decoder.beginning_of(sequence)
        progress, parents = self._searcher.step(sequence, logits, beginning)
        self._decoder.state(sequence).reorder(parents)
        return progress

    def _reported(
        self, sequence: DecoderSequence, logits: torch.Tensor, ended: int
    ) -> tuple[TokenLogprob, ...]:
        """Log probabilities of the prompt's tokens by the logits of the last ones up to `ended`.

        Each is told once, though the tokens of an evicted text are computed again.
        """
        first = ended - len(logits)
        start = max(first, self._told.get(sequence, 0))
        told = sequence.prompt.ids[start + 1 : ended + 1]
        self._told[sequence] = start + len(told)
        return prompt_logprobs(told, logits[start - first :][: len(told)])

    def evict(self, sequence: DecoderSequence) -> None:
        """Drop the sequence's cache; its random numbers stay."""
        if self._decoder is not None:
            self._decoder.release(sequence)

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the sequence's cache and random numbers."""
        if self._decoder is not None and self._sampler is not None:
            self._decoder.release(sequence)
            self._sampler.release(sequence)
            self._told.pop(sequence, None)

    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Not offered here."""
        raise InvalidSetting(NO_ADAPTERS)

    def unload_adapter(self, name: str) -> None:
        """There is none."""

    def close(self) -> None:
        """Drop the model."""
        self._encoder = self._decoder = self._sampler = None
