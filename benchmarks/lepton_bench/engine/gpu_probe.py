"""`python -m lepton_bench.engine.gpu_probe`: decoding on one GPU against its memory, as JSON.

A model of Llama's 8B shape with random bfloat16 weights, made on the device; 32 texts decode side
by side on the engine's own decoder. The limit is the time in which the device, at the rate of a
measured copy, reads what a step has to read: all weights but the table of tokens, and the state of
all texts. Tokens are chosen by the largest logit.

Needs torch with CUDA and transformers, no other package and no files.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.decoder import SlotDecoder, TextDecoder
from lepton_worker.backends.native.paged.choose import choose_paging
from lepton_worker.backends.native.paged.decoder import PagedDecoder
from lepton_worker.backends.native.slots import bytes_per_token
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.model import Model
from lepton_worker.request import Sampling, Task, TokenLogprob, Tokens

TEXTS, PROMPT, STEPS, WARM = 32, 1024, 128, 16
COPIED = 4 << 30
LLAMA_8B = LlamaConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=4096,
    tie_word_embeddings=False,
)


@dataclass(frozen=True)
class Found:
    """What one run gave; `ratio` is the limit's time of a step by the measured one."""

    device: str
    torch: str
    bandwidth: float
    seconds: float
    limit: float
    ratio: float
    tokens_s: float
    kv: str
    graphs: str


@dataclass(frozen=True)
class Chosen:
    """The most probable token."""

    token: int
    logprob: TokenLogprob | None = None
    ended: bool = False


class Greedy:
    """Takes the most probable tokens."""

    def choose(
        self, sequences: Sequence[DecoderSequence], logits: torch.Tensor
    ) -> Sequence[Chosen]:
        """One for each row."""
        return [Chosen(token) for token in logits.argmax(-1).tolist()]

    def release(self, sequence: DecoderSequence) -> None:
        """Nothing is kept."""


def limit_seconds(weights: int, token: int, tokens: int, bandwidth: float) -> float:
    """How long a step reads: `weights` bytes, and `tokens` tokens of state of `token` bytes."""
    return (weights + token * tokens) / bandwidth


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Bytes a second that a copy reads and writes; the best of ten."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(10):
        _wait(device)
        begun = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * size / best


def model_of(config: LlamaConfig, device: torch.device) -> Loaded:
    """Random weights in bfloat16, made where they stay."""
    torch.manual_seed(0)
    with device:
        module: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    facts = Model(
        task=Task.GENERATE,
        offers=frozenset([Task.GENERATE]),
        architecture=type(module).__name__,
        backend="native",
        device=str(device),
        dtype="bfloat16",
        max_length=int(config.max_position_embeddings),
        vocabulary=int(config.vocab_size),
        tokenizer=cast(Any, None),
    )
    return Loaded(module.eval(), facts, 0)


def opened(loaded: Loaded, texts: int, tokens: int) -> tuple[TextDecoder, str, str]:
    """The decoder that the worker would take, why, and whether it replays graphs."""
    paging, kept = choose_paging(loaded, "auto")
    if paging is None:
        return SlotDecoder(loaded, texts, tokens, Greedy()), kept, "none: for pages alone"
    decoder = PagedDecoder(loaded, texts, tokens, Greedy(), paging, graphs=True)
    return decoder, kept, decoder.graphs


def measure(
    config: LlamaConfig, device: torch.device, texts: int, prompt: int, steps: int, copied: int
) -> Found:
    """Read the prompts, then time `steps` steps in which every text goes on by one token."""
    bandwidth = copy_bandwidth(device, copied)
    loaded = model_of(config, device)
    decoder, kept, graphs = opened(loaded, texts, texts * (prompt + WARM + steps + 1))
    numbers = torch.Generator().manual_seed(1)
    running = []
    for _ in range(texts):
        ids = torch.randint(loaded.facts.vocabulary, (prompt,), generator=numbers).tolist()
        text = DecoderSequence(Tokens(tuple(ids)), Sampling(WARM + steps + 1))
        decoder.begin(text)
        _step(decoder, [Span(text, prompt)])
        running.append(text)
    for _ in range(WARM):
        _step(decoder, [Span(text, 1) for text in running])
    _wait(device)
    begun = time.perf_counter()
    for _ in range(steps):
        _step(decoder, [Span(text, 1) for text in running])
    _wait(device)
    seconds = (time.perf_counter() - begun) / steps
    embedded = loaded.module.get_input_embeddings().weight
    weights = sum(item.numel() * item.element_size() for item in loaded.module.parameters())
    weights -= embedded.numel() * embedded.element_size()
    state = bytes_per_token(loaded.module.config, loaded.module.dtype)
    seen = texts * (prompt + WARM + 1 + steps // 2)
    limit = limit_seconds(weights, state, seen, bandwidth)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    version = str(torch.__version__)
    ratio, rate = limit / seconds, texts / seconds
    return Found(name, version, bandwidth, seconds, limit, ratio, rate, kept, graphs)


def _step(decoder: TextDecoder, spans: Sequence[Span]) -> None:
    for result in decoder.step(spans):
        if not isinstance(result, Progress):
            raise result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> int:
    """Measure, and write one line of JSON; 1 where there is no GPU."""
    if not torch.cuda.is_available():
        sys.stderr.write("no CUDA device is seen here\n")
        return 1
    found = measure(LLAMA_8B, torch.device("cuda:0"), TEXTS, PROMPT, STEPS, COPIED)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
