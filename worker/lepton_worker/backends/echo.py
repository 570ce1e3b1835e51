"""A backend that loads nothing and answers with what it was sent: for tests of clients, scaling."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lepton_worker.backends.base import (
    AdapterFacts,
    DecoderSequence,
    EncodeInput,
    LoadOrder,
    Progress,
    Span,
)
from lepton_worker.errors import RequestError
from lepton_worker.model import Frame, GenerationDefaults, Model, Pieces, Tokenized
from lepton_worker.request import Task, TokenLogprob, Tokens, Vector

END = 256
"""Token behind the 256 bytes: the end of a text."""

DIMENSIONS = 8
LABELS = tuple(f"echo-{letter}" for letter in "abcdefgh")
MAX_LENGTH = 8192
OFFERS = frozenset([Task.GENERATE, Task.CLASSIFY, Task.EMBED])


class ByteTokenizer:
    """Each byte of UTF-8 is a token."""

    def encode(self, texts: Sequence[str], cut_at: int | None = None) -> list[Tokenized]:
        """Bytes; cut without regard to characters."""
        encoded = [text.encode() for text in texts]
        return [
            Tokenized(Tokens(tuple(data[:cut_at])), cut_at is not None and len(data) > cut_at)
            for data in encoded
        ]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str]], cut_at: int | None = None
    ) -> list[Tokenized]:
        """Both texts, one behind the other."""
        return self.encode([first + second for first, second in pairs], cut_at)

    def pieces(self, text: str, special: bool = True) -> Pieces:
        """Each byte with the character it belongs to; each character is a word."""
        ids = [(byte, place) for place, letter in enumerate(text) for byte in letter.encode()]
        return Pieces(
            ids=tuple(byte for byte, _ in ids),
            spans=tuple((place, place + 1) for _, place in ids),
            words=tuple(place for _, place in ids),
            tokens=tuple(f"<{byte:#04x}>" for byte, _ in ids),
        )

    def frame(self, pair: bool = False) -> Frame:
        """No special tokens."""
        return Frame()

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
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
        self._known: dict[DecoderSequence, int] = {}

    def load(self, order: LoadOrder) -> Model:
        """A model that offers every task but those on single tokens."""
        return Model(
            task=order.task,
            offers=OFFERS,
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
            slots=order.slots,
            step_tokens=order.step_tokens or MAX_LENGTH,
            choices={"backend": "echo: asked for"},
        )

    def warm_up(self) -> None:
        """There is nothing to warm up."""

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        """Eight numbers in [-1, 1], the same for the same input."""
        self._sleep(self._step_seconds)
        return [_digest(item.tokens) for item in inputs]

    def begin(self, sequence: DecoderSequence) -> int:
        """Nothing is known of any text."""
        self._known[sequence] = 0
        return 0

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        """Behind the end of a text: the prompt's next byte, the end token behind the last one."""
        self._sleep(self._step_seconds)
        return [self._next(span) for span in spans]

    def _next(self, span: Span) -> Progress:
        sequence = span.sequence
        begun = self._known[sequence]
        self._known[sequence] = known = begun + span.count
        prompt = self._prompt_logprobs(sequence, begun, known)
        if known < len(sequence.ids) or sequence.sampling.max_new_tokens == 0:
            return Progress(None, prompt=prompt)
        place = (len(sequence.ids) - len(sequence.prompt)) % (len(sequence.prompt) + 1)
        token = END if place == len(sequence.prompt) else sequence.prompt.ids[place]
        sequence.ids.append(token)
        asked = sequence.sampling.logprobs
        return Progress(token, None if asked is None else _certain(token, asked), prompt=prompt)

    def _prompt_logprobs(
        self, sequence: DecoderSequence, begun: int, known: int
    ) -> tuple[TokenLogprob, ...]:
        if not sequence.sampling.prompt_logprobs:
            return ()
        return tuple(_certain(token, 0) for token in sequence.prompt.ids[max(1, begun) : known])

    def evict(self, sequence: DecoderSequence) -> None:
        """Forget how far the sequence was; its tokens are its own."""
        self._known.pop(sequence, None)

    def release(self, sequence: DecoderSequence) -> None:
        """Forget the sequence."""
        self._known.pop(sequence, None)

    def load_adapter(self, name: str, folder: Path, source: str) -> AdapterFacts:
        """Any name will do; it changes nothing."""
        return AdapterFacts(name, source, rank=1, bytes=0, folder=str(folder))

    def unload_adapter(self, name: str) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to give back."""


def _certain(token: int, top: int) -> TokenLogprob:
    return TokenLogprob(token, 0.0, ((token, 0.0),) if top else ())


def _digest(tokens: Tokens) -> Vector:
    data = hashlib.sha256(np.asarray(tokens.ids, "<i4").tobytes()).digest()
    numbers = np.frombuffer(data, "<u4").astype(np.float64)
    return (numbers / 2**31 - 1).astype(np.float32)
