"""Whether an encoder-decoder gives the same numbers for texts side by side as for each alone."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from lepton_worker.backends.base import DecoderSequence, Span
from lepton_worker.backends.native.decoder_parity import TOLERANCE
from lepton_worker.backends.native.seq2seq import SideBySide
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.seq2seq import EncoderDecoder
from lepton_worker.errors import RequestError
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Sampling, Tokens

log = logging.getLogger(__name__)

LENGTHS = (23, 21, 5, 40)
TOGETHER = 2
"""Prompts; the first ones begin together, the others a step behind one another, so that answers
have different lengths too."""
ANSWERED = 4
ROOM = 1 << 20


class Recorder(Sampler):
    """Takes the largest logit, and keeps all logits by their texts."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__(GenerationDefaults(), vocabulary, None)
        self.seen: dict[DecoderSequence, list[torch.Tensor]] = {}

    def choose(
        self, sequences: Sequence[DecoderSequence], logits: torch.Tensor
    ) -> list[Choice | RequestError]:
        """The next tokens."""
        for sequence, row in zip(sequences, logits, strict=True):
            self.seen.setdefault(sequence, []).append(row)
        return super().choose(sequences, logits)


def check(loaded: Loaded) -> str | None:
    """None when texts side by side have the logits that each has alone, otherwise why not."""
    try:
        return _compare(loaded)
    except Exception as error:
        log.debug("texts of this model cannot run side by side", exc_info=error)
        return f"{type(error).__name__}: {error}"


def bytes_per_token(loaded: Loaded) -> int:
    """What a token of a prompt takes in the decoder's cache; one of an answer takes the same."""
    alone = EncoderDecoder(loaded)
    sequence = _text(loaded, 4, torch.Generator().manual_seed(0))
    alone.begin(sequence)
    alone.forward(sequence, 4)
    cache = alone.state(sequence).cache
    assert cache is not None, "the whole prompt was read"
    layers: list[Any] = cache.cross_attention_cache.layers
    held: list[torch.Tensor] = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    return sum(tensor.numel() * tensor.element_size() for tensor in held) // 4


def _text(loaded: Loaded, length: int, numbers: torch.Generator) -> DecoderSequence:
    ids = torch.randint(loaded.facts.vocabulary, (length,), generator=numbers)
    return DecoderSequence(Tokens(tuple(ids.tolist())), Sampling(ANSWERED))


def _compare(loaded: Loaded) -> str | None:
    recorder = Recorder(loaded.facts.vocabulary)
    numbers = torch.Generator().manual_seed(0)
    longest = loaded.facts.max_length
    texts = [_text(loaded, min(length, longest), numbers) for length in LENGTHS]
    ours = SideBySide(loaded, ROOM, recorder)
    try:
        running: list[DecoderSequence] = []
        waiting = list(texts)
        while waiting or any(len(recorder.seen[text]) < ANSWERED for text in texts):
            spans = [Span(text, 1) for text in running]
            fresh = waiting[: 1 if running else TOGETHER]
            del waiting[: len(fresh)]
            for text in fresh:
                ours.begin(text)
                spans.append(Span(text, len(text.prompt)))
            running += fresh
            if any(isinstance(result, RequestError) for result in ours.step(spans)):
                return "it fails on texts side by side"
    finally:
        ours.close()
    worst = max(_distance(loaded, text, recorder.seen[text]) for text in texts)
    if worst <= TOLERANCE.get(loaded.module.dtype, 0.0):
        return None
    return f"its logits side by side differ from its own by {worst:.1e} of the largest one"


def _distance(loaded: Loaded, text: DecoderSequence, seen: list[torch.Tensor]) -> float:
    """How far the logits of a text are from the module's own, by the largest of these."""
    module = loaded.module
    answer = text.ids[len(text.prompt) :][: len(seen) - 1]
    first = EncoderDecoder(loaded).beginning.tokens
    with torch.inference_mode():
        own = module(
            input_ids=torch.tensor([text.prompt.ids], device=module.device),
            decoder_input_ids=torch.tensor([[*first, *answer]], device=module.device),
            use_cache=False,
        ).logits[0, len(first) - 1 :]
    own = own.float()
    return float((torch.stack(seen) - own).abs().max() / own.abs().max())
