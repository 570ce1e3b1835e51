"""The backend over torch and transformers: joins loading, encoder and decoder."""

from collections.abc import Sequence

import torch

from lepton_worker.backends.base import DecoderSequence, LoadOrder
from lepton_worker.backends.transformers.decoder import Decoder
from lepton_worker.backends.transformers.encoder import Encoder
from lepton_worker.backends.transformers.failures import load_failures, request_failures
from lepton_worker.backends.transformers.loading import load_model
from lepton_worker.errors import RequestError, WeightsCorrupt
from lepton_worker.model import Model
from lepton_worker.request import Sampling, Task, Tokens, Vector


class TransformersBackend:
    """Encoders run in padded batches; decoders one sequence at a time, each with its own cache."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None

    def load(self, order: LoadOrder) -> Model:
        """Load a folder in `save_pretrained` format."""
        torch.set_num_threads(order.threads)
        with load_failures(order.folder):
            loaded = load_model(order)
        self._model = loaded.facts
        if order.task is Task.GENERATE:
            self._decoder = Decoder(loaded)
        else:
            self._encoder = Encoder(loaded, order.pooling if order.task is Task.EMBED else None)
        return loaded.facts

    def warm_up(self) -> None:
        """One forward on one token; its answer has to be made of numbers."""
        trial = Tokens((0,))
        with load_failures(None):
            if self._encoder is not None:
                finite = bool(torch.isfinite(self._encoder.forward([trial])).all())
            else:
                finite = self._decode_trial(trial)
        if not finite:
            raise WeightsCorrupt(
                "the model answers a trial input with numbers that are not finite: "
                "its weights are damaged, or its dtype is too narrow for them"
            )

    def _decode_trial(self, trial: Tokens) -> bool:
        assert self._decoder is not None
        sequence = DecoderSequence(trial, Sampling(max_new_tokens=1))
        logits = self._decoder.forward(sequence)
        self._decoder.release(sequence)
        return bool(torch.isfinite(logits).any()) and not bool(torch.isnan(logits).any())

    def encode(self, inputs: Sequence[Tokens]) -> list[Vector]:
        """Padded to the longest input of the batch."""
        assert self._encoder is not None, "encode on a model that generates"
        with request_failures():
            return [row.numpy() for row in self._encoder.forward(inputs).float().cpu()]

    def decode(self, batch: Sequence[DecoderSequence]) -> list[int | RequestError]:
        """One forward for each sequence, so that none can change or fail another one."""
        return [self._next(sequence) for sequence in batch]

    def _next(self, sequence: DecoderSequence) -> int | RequestError:
        assert self._decoder is not None, "decode on a model that encodes"
        try:
            with request_failures():
                return self._decoder.next_token(sequence)
        except RequestError as error:
            return error

    def release(self, sequence: DecoderSequence) -> None:
        """Drop the sequence's cache."""
        if self._decoder is not None:
            self._decoder.release(sequence)

    def close(self) -> None:
        """Drop the model."""
        self._encoder = self._decoder = self._model = None
