"""A backend that loads nothing and answers with what it was sent: for tests of clients, scaling."""

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from lepton_worker.backends.base import DecoderSequence, LoadOrder
from lepton_worker.errors import RequestError
from lepton_worker.model import GenerationDefaults, Model, Tokenized
from lepton_worker.request import Task, Tokens, Vector

END = 256
"""Token behind the 256 bytes: the end of a text."""

DIMENSIONS = 8
LABELS = tuple(f"echo-{letter}" for letter in "abcdefgh")
MAX_LENGTH = 8192


class ByteTokenizer:
    """Each byte of UTF-8 is a token."""

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        """Bytes; cut without regard to characters."""
        encoded = [text.encode() for text in texts]
        return [
            Tokenized(Tokens(tuple(data[:cut_at])), cut_at is not None and len(data) > cut_at)
            for data in encoded
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the bytes, with replacement characters where they make none."""
        return bytes(token for token in ids if token < END).decode(errors="replace")

    def is_open(self, token: int) -> bool:
        """Never: an unfinished character shows as a replacement character."""
        return False


class EchoBackend:
    """Generates the prompt again and then ends; embeds and classifies by a digest of the input.

    Each step takes `step_seconds`, however many requests share it.
    """

    def __init__(
        self, step_seconds: float = 0.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._step_seconds = step_seconds
        self._sleep = sleep
        self._made: dict[DecoderSequence, int] = {}

    def load(self, order: LoadOrder) -> Model:
        """A model that offers every task."""
        return Model(
            task=order.task,
            offers=frozenset(Task),
            architecture="Echo",
            backend="echo",
            device="cpu",
            dtype="float32",
            max_length=order.max_length or MAX_LENGTH,
            vocabulary=END + 1,
            tokenizer=ByteTokenizer(),
            labels=LABELS,
            dimensions=DIMENSIONS,
            normalize=True,
            defaults=GenerationDefaults(ends=frozenset([END])),
        )

    def warm_up(self) -> None:
        """There is nothing to warm up."""

    def encode(self, inputs: Sequence[Tokens]) -> list[Vector]:
        """Eight numbers in [-1, 1], the same for the same input."""
        self._sleep(self._step_seconds)
        return [_digest(tokens) for tokens in inputs]

    def decode(self, batch: Sequence[DecoderSequence]) -> list[int | RequestError]:
        """The prompt's next byte, and the end token behind the last one."""
        self._sleep(self._step_seconds)
        return [self._next(sequence) for sequence in batch]

    def _next(self, sequence: DecoderSequence) -> int:
        made = self._made.get(sequence, 0)
        self._made[sequence] = made + 1
        place = made % (len(sequence.prompt) + 1)
        return END if place == len(sequence.prompt) else sequence.prompt.ids[place]

    def release(self, sequence: DecoderSequence) -> None:
        """Forget how far the sequence was."""
        self._made.pop(sequence, None)

    def close(self) -> None:
        """There is nothing to give back."""


def _digest(tokens: Tokens) -> Vector:
    data = hashlib.sha256(np.asarray(tokens.ids, "<i4").tobytes()).digest()
    numbers = np.frombuffer(data, "<u4").astype(np.float64)
    return (numbers / 2**31 - 1).astype(np.float32)
