"""Tiny encoder-decoders with random weights, and what transformers itself makes of them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from lepton_testing import slot_decoders
from lepton_testing.hosted import Host, Served
from lepton_worker.backends.base import DecoderSequence, LoadOrder, Progress, Span
from lepton_worker.backends.native.seq2seq import SideBySide
from lepton_worker.backends.sampling.sampler import Sampler
from lepton_worker.backends.transformers.backend import TransformersBackend
from lepton_worker.backends.transformers.generation import defaults
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.backends.transformers.seq2seq_facts import beginning
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Task

VOCABULARY, LONGEST = slot_decoders.VOCABULARY, slot_decoders.LONGEST

T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20,
    "decoder_start_token_id": 0,
    "eos_token_id": None,
}
BART: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": LONGEST,
    "bos_token_id": None,
    "eos_token_id": None,
    "forced_eos_token_id": None,
    "decoder_start_token_id": 2,
    "pad_token_id": 1,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5Config", T5),
    "t5-gated": ("T5Config", {**T5, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 1}),
    "mt5": ("MT5Config", T5),
    "umt5": ("UMT5Config", T5),
    "bart": ("BartConfig", BART),
    "mbart": ("MBartConfig", BART),
    "plbart": ("PLBartConfig", BART),
    "blenderbot": ("BlenderbotConfig", BART),
    "blenderbot-small": ("BlenderbotSmallConfig", BART),
    "marian": (
        "MarianConfig",
        {**BART, "pad_token_id": 0, "decoder_start_token_id": 0, "bad_words_ids": [[0]]},
    ),
    "pegasus": ("PegasusConfig", {**BART, "pad_token_id": 0, "decoder_start_token_id": 0}),
    "m2m100": ("M2M100Config", {**BART, "forced_bos_token_id": 7}),
}
"""Names of configs in transformers, and sizes. No text ends by itself, unless a test wants it."""

SEEDS = {"plbart": 2}
"""Those with which answers have different tokens, where 4 is none of them."""


def build(name: str, seed: int = 0, **more: Any) -> Any:
    """A model whose answers change from token to token.

    Its head has weights of its own: with those of the embedding, tokens mostly repeat themselves.
    """
    kind, sizes = CONFIGS[name]
    said = {key: value for key, value in {**sizes, **more}.items() if key in GENERATION}
    sizes = {key: value for key, value in {**sizes, **more}.items() if key not in GENERATION}
    config = getattr(transformers, kind)(**sizes)
    torch.manual_seed(seed)
    module = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    module.lm_head.weight = torch.nn.Parameter(torch.empty_like(module.lm_head.weight))
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape))
    for key, value in said.items():
        setattr(module.generation_config, key, value)
    return module


GENERATION = {"bad_words_ids", "forced_bos_token_id", "forced_eos_token_id"}
"""What belongs to the generation config."""


@functools.cache
def stock(name: str) -> Any:
    """A model that nobody changes."""
    return build(name, SEEDS.get(name, 4))


def loaded(module: Any, **facts: Any) -> Loaded:
    """A module with what a backend asks of it besides."""
    found = slot_decoders.loaded(module, LONGEST)
    said = defaults(module, Path("/nowhere"))
    known = dataclasses.replace(found.facts, encoder_decoder=True, defaults=said, **facts)
    return dataclasses.replace(found, facts=known)


def expected(module: Any, prompt: Sequence[int], count: int, **more: Any) -> list[int]:
    """The greedy tokens of the answer, by transformers."""
    with torch.inference_mode():
        whole = module.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            num_beams=1,
            **more,
        )
    answer: list[int] = whole[0, 1:].tolist()
    return answer


def stock_texts(module: Any, slots: int = 4, **facts: Any) -> TransformersBackend:
    """The backend over stock transformers."""
    backend = TransformersBackend()
    order = LoadOrder(Path(), Task.GENERATE, slots=slots)
    backend.use(loaded(module, **facts), order)
    return backend


def side_by_side(
    module: Any, slots: int = 4, room: int = 1 << 20, constraints: Any = None, **facts: Any
) -> Any:
    """The texts of the backend native."""
    known = loaded(module, **facts)
    begun = beginning(module, known.facts).tokens
    sampler = Sampler(known.facts.defaults, VOCABULARY, constraints, begun)
    return SideBySide(known, room, sampler)


TEXTS: dict[str, Callable[..., Any]] = {
    "transformers": stock_texts,
    "native": side_by_side,
    "native, little room": functools.partial(side_by_side, room=80),
}
"""What runs texts, by the name of the backend."""


def sequence(
    module: Any, prompt: Sequence[int], count: int = 8, **sampling: Any
) -> DecoderSequence:
    """A text to be answered by `count` tokens, with what the model's own config asks for."""
    said: GenerationDefaults = defaults(module, Path("/nowhere"))
    chosen = {"forced": said.forced, "no_repeat_ngram": said.no_repeat_ngram, "ends": said.ends}
    text: DecoderSequence = slot_decoders.sequence(prompt, count, **{**chosen, **sampling})
    return text


def run(texts: Any, span: Span) -> Progress:
    """One span by itself."""
    [result] = texts.step([span])
    assert isinstance(result, Progress), result
    return result


class Both(NamedTuple):
    """A worker, and what transformers makes of the same folder."""

    served: Served
    model: Any
    tokenizer: Any

    def answer(self, text: str, count: int, **more: Any) -> str:
        """The answer of transformers' own `generate`, greedy unless more is asked for."""
        ids = self.tokenizer(text, return_tensors="pt").input_ids
        asked = {"num_beams": 1, "do_sample": False, **more}
        with torch.inference_mode():
            found = self.model.generate(ids, max_new_tokens=count, **asked)
        decoded: str = self.tokenizer.decode(found[0], skip_special_tokens=True)
        return decoded


def both(host: Host, folder: Path, backend: str, **chosen: Any) -> Both:
    """A folder, served and loaded."""
    served = host.serve(
        backend=backend,
        source=str(folder),
        model_name=folder.name,
        quantization="none",
        **chosen,
    )
    model: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    return Both(served, model.eval(), transformers.AutoTokenizer.from_pretrained(folder))
