"""Tiny decoders with random weights, and what transformers' own `generate` makes of them."""

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen3Config,
)

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.decoder import SlotDecoder, TextDecoder
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Model
from lepton_worker.request import Sampling, Task, TokenLogprob, Tokens

VOCABULARY = 120
LONGEST = 128
"""With keys of 8 numbers, a slot of so many tokens is exactly one page: nothing is behind it."""
WINDOW = 8

SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": LONGEST,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
OLD: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": None}
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=16),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=WINDOW),
    # So low a cap that it changes what comes out.
    "gemma2": lambda: Gemma2Config(
        **SHAPE, head_dim=8, sliding_window=WINDOW, attn_logit_softcapping=0.1
    ),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=WINDOW),
    "gpt-oss": lambda: GptOssConfig(
        **SHAPE,
        head_dim=8,
        sliding_window=WINDOW,
        num_local_experts=4,
        num_experts_per_tok=2,
    ),
    "phi3": lambda: Phi3Config(**SHAPE),
    "gpt2": lambda: GPT2Config(**OLD, n_embd=32, n_layer=2, n_head=4, n_positions=LONGEST),
    "gpt-neox": lambda: GPTNeoXConfig(
        **OLD,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
    ),
}


def causal(config: Any) -> Any:
    """A model with fresh weights and a configuration of its own."""
    return AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()  # type: ignore[no-untyped-call]


def build(config: Any, seed: int = 0) -> Any:
    """A model whose weights are large enough that the best token stands out."""
    torch.manual_seed(seed)
    module = causal(config)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.mul_(3)
    return module


@functools.cache
def stock(name: str) -> Any:
    """A model that nobody changes."""
    return build(CONFIGS[name]())


def loaded(module: Any, longest: int = LONGEST) -> Loaded:
    """A module with what a decoder asks of it besides."""
    facts = Model(
        task=Task.GENERATE,
        offers=frozenset([Task.GENERATE]),
        architecture=type(module).__name__,
        backend="native",
        device="cpu",
        dtype="float32",
        max_length=longest,
        vocabulary=VOCABULARY,
        tokenizer=cast(Any, None),
    )
    return Loaded(module, facts, 0)


def tokens(count: int, seed: int) -> list[int]:
    """A random text."""
    numbers = torch.Generator().manual_seed(seed)
    drawn: list[int] = torch.randint(1, VOCABULARY, (count,), generator=numbers).tolist()
    return drawn


def expected(module: Any, prompt: Sequence[int], count: int) -> list[int]:
    """The greedy tokens that follow, by transformers."""
    with torch.inference_mode():
        whole = module.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
        )
    made: list[int] = whole[0, len(prompt) :].tolist()
    return made


@dataclass(frozen=True)
class Chosen:
    """The most probable token."""

    token: int
    logprob: TokenLogprob | None = None
    ended: bool = False


class Greedy:
    """Takes the most probable token, and remembers whom it was told to forget."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.released: list[DecoderSequence] = []

    def choose(
        self, sequences: Sequence[DecoderSequence], logits: torch.Tensor
    ) -> Sequence[Chosen]:
        """One choice for each row; the logits are spoilt, as they may be."""
        assert logits.shape == (len(sequences), VOCABULARY)
        assert logits.dtype == torch.float32
        self.calls.append(len(sequences))
        best = [Chosen(token) for token in logits.argmax(-1).tolist()]
        logits.fill_(float("nan"))
        return best

    def release(self, sequence: DecoderSequence) -> None:
        """Note it."""
        self.released.append(sequence)


def decoder(name: str, slots: int = 4, cache_tokens: int = 0, **others: Any) -> SlotDecoder:
    """A decoder over a model of its own, whose weights are those of `stock`."""
    module = build(CONFIGS[name]())
    return SlotDecoder(loaded(module), slots, cache_tokens, Greedy(), **others)


def sequence(prompt: Sequence[int], count: int = 8, adapter: str = "", **sampling: Any) -> Any:
    """A text to be continued by `count` tokens."""
    return DecoderSequence(Tokens(tuple(prompt)), Sampling(count, **sampling), adapter)


def made(text: DecoderSequence) -> list[int]:
    """The tokens that follow the prompt so far."""
    return text.ids[len(text.prompt) :]


def left(text: DecoderSequence) -> int:
    """How many tokens are still to be made."""
    return text.sampling.max_new_tokens - len(made(text))


def finish(
    decoder: TextDecoder, texts: Sequence[DecoderSequence], chunk: int = LONGEST
) -> dict[DecoderSequence, list[Progress]]:
    """Run texts that have not begun side by side until each has its tokens, then release them."""
    known = {text: decoder.begin(text) for text in texts}
    progress: dict[DecoderSequence, list[Progress]] = {text: [] for text in texts}
    while known:
        spans = [Span(text, min(chunk, len(text.ids) - known[text])) for text in known]
        for item, result in zip(spans, decoder.step(spans), strict=True):
            assert isinstance(result, Progress), result
            progress[item.sequence].append(result)
            known[item.sequence] += item.count + len(result.further)
            if not left(item.sequence):
                decoder.release(item.sequence)
                del known[item.sequence]
    return progress
