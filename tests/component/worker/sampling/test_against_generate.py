"""Greedy texts of whole models under generation configs of all kinds: as `generate` writes them."""

from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, LlamaConfig, LlamaForCausalLM

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.backends.transformers.generation import resolved
from lepton_worker.request import Sampling, Tokens

pytestmark = pytest.mark.component

WIDTH = 40
SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
CONFIGS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.4},
    {"no_repeat_ngram_size": 2},
    {"suppress_tokens": [3, 5, 7, 9], "begin_suppress_tokens": list(range(10, 30))},
    {"min_new_tokens": 12, "eos_token_id": list(range(1, WIDTH, 2))},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "suppress_tokens": [8], "min_length": 9},
]


def written(
    said: dict[str, Any], prompt: list[int], beginning: list[int] | None, forward: Any
) -> list[int]:
    """The answer to a prompt; `forward` gives the logits behind some tokens."""
    ends = said.get("eos_token_id", 2)
    defaults = resolved(said, ends, beginning is not None)
    sampling = Sampling(
        20,
        repetition_penalty=defaults.repetition_penalty,
        no_repeat_ngram=defaults.no_repeat_ngram,
        min_new_tokens=defaults.min_new_tokens,
        ends=defaults.ends,
    )
    sampler = Sampler(defaults, WIDTH, None, beginning)
    sequence = DecoderSequence(Tokens(tuple(prompt)), sampling)
    for _ in range(20):
        (choice,) = sampler.choose([sequence], forward(sequence.ids))
        assert isinstance(choice, Choice)
        sequence.ids.append(choice.token)
        if choice.token in sampling.ends:
            break
    return sequence.ids[len(prompt) :]


@pytest.mark.parametrize("said", CONFIGS, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_decoder(said: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    said = {name: value for name, value in said.items() if name != "min_length"}
    config = LlamaConfig(vocab_size=WIDTH, num_attention_heads=4, initializer_range=0.5, **SIZES)
    model: Any = LlamaForCausalLM(config)
    model.eval()
    prompt = torch.randint(3, WIDTH, (1, 6))
    with torch.inference_mode():
        whole = model.generate(
            prompt, max_new_tokens=20, do_sample=False, **{"eos_token_id": 2, **said}
        )
        found = written(
            said, prompt[0].tolist(), None, lambda ids: model(torch.tensor([ids])).logits[:, -1]
        )
    assert found == whole[0, 6:].tolist()


@pytest.mark.parametrize("said", CONFIGS, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_encoder_decoder(said: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=WIDTH,
        d_model=32,
        init_std=0.5,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        decoder_start_token_id=4,
        forced_eos_token_id=None,
    )
    model: Any = BartForConditionalGeneration(config)
    model.eval()
    prompt = torch.randint(3, WIDTH, (1, 6))

    def forward(ids: list[int]) -> torch.Tensor:
        decoder = torch.tensor([[4, *ids[6:]]])
        logits: torch.Tensor = model(input_ids=prompt, decoder_input_ids=decoder).logits[:, -1]
        return logits

    with torch.inference_mode():
        whole = model.generate(
            prompt, max_new_tokens=20, do_sample=False, **{"eos_token_id": 2, **said}
        )
        found = written(said, prompt[0].tolist(), [4], forward)
    assert found == whole[0, 1:].tolist()
