"""What tests on a GPU share: kernels that are there, tiny models on the device, and their texts."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import LlamaConfig

from lepton_testing.slot_decoders import Greedy, build, loaded, sequence, tokens
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.decoder import TextDecoder
from lepton_worker.backends.native.paged.decoder import PagedDecoder, Paging, pagings
from lepton_worker.backends.transformers.loading import Loaded

CUDA = torch.device("cuda:0")
LONG = 1500
REGRET = 5e-2
"""How far below the best one the logit of a token may be, relative to the largest logit."""


def kernels() -> Iterator[Paging]:
    """Those that this machine has; what is not there is said."""
    for opened in pagings(CUDA):
        try:
            yield opened()
        except ImportError as error:
            print(f"not shown here: {error}")  # noqa: T201


def llama(dtype: torch.dtype = torch.bfloat16, longest: int = LONG, **others: Any) -> Loaded:
    """A small Llama with keys of 64 numbers, two heads of them, on the device."""
    config = LlamaConfig(
        vocab_size=120,
        hidden_size=256,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=longest,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **others,
    )
    return loaded(build(config).to(dtype).to(CUDA), longest)


def decoder(model: Loaded, paging: Paging, graphs: bool = False, slots: int = 6) -> PagedDecoder:
    """Greedy texts over pages."""
    return PagedDecoder(model, slots, 0, Greedy(), paging, graphs=graphs)


def texts(new: int) -> list[DecoderSequence]:
    """Texts that end around the edges of pages of 64 and of 256 tokens."""
    lengths = (1, 63, 64, 250, 255, 700)
    return [sequence(tokens(length, seed=length), new) for length in lengths]


def run(ours: TextDecoder, wanted: Sequence[DecoderSequence], chunk: int = 200) -> None:
    """Texts side by side, one more in each step, until each has its tokens."""
    known: dict[DecoderSequence, int] = {}
    waiting = list(wanted)
    while waiting or known:
        if waiting:
            text = waiting.pop(0)
            known[text] = ours.begin(text)
        spans = [Span(text, min(chunk, len(text.ids) - known[text])) for text in known]
        for span, result in zip(spans, ours.step(spans), strict=True):
            assert isinstance(result, Progress), result
            text = span.sequence
            known[text] += span.count
            if len(text.ids) - len(text.prompt) == text.sampling.max_new_tokens:
                ours.release(text)
                del known[text]


def regret(module: Any, text: DecoderSequence) -> float:
    """How much better the module's own best tokens are at worst, by its own forward."""
    with torch.inference_mode():
        logits = module(input_ids=torch.tensor([text.ids[:-1]], device=CUDA)).logits[0].float()
    logits = logits[len(text.prompt) - 1 :]
    made = torch.tensor(text.ids[len(text.prompt) :], device=CUDA)
    chosen = logits.gather(1, made[:, None])[:, 0]
    return float((logits.amax(-1) - chosen).max() / logits.abs().max())
