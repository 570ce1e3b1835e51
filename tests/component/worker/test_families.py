"""Many architectures through our own forwards: decoders token by token against `generate`, encoders
in padded batches against each input alone. Random weights, made in memory."""

from typing import Any

import pytest
import torch
import transformers

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.echo import ByteTokenizer
from lepton_worker.backends.transformers.decoder import Decoder
from lepton_worker.backends.transformers.encoder import Encoder
from lepton_worker.backends.transformers.generation import adjustment
from lepton_worker.backends.transformers.loading import Loaded, unchanged
from lepton_worker.backends.transformers.pooling import MODES
from lepton_worker.model import Model, Pooling
from lepton_worker.request import Sampling, Task, Tokens

pytestmark = pytest.mark.component

VOCABULARY = 120
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "tie_word_embeddings": False,  # a token would be most like itself, over and over
}
GROUPED = {"num_key_value_heads": 2}

DECODERS: dict[str, dict[str, Any]] = {
    "Llama": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 8},
    "Mixtral": {**GROUPED, "num_local_experts": 4},
    "Qwen2": GROUPED,
    "Qwen3": {**GROUPED, "head_dim": 8},
    "Gemma": {**GROUPED, "head_dim": 8},
    "Gemma2": {**GROUPED, "head_dim": 8, "sliding_window": 8},
    "Phi": GROUPED,
    "Phi3": GROUPED,
    "StableLm": GROUPED,
    "Starcoder2": GROUPED,
    "GPTNeoX": {},
    "Olmo2": GROUPED,
    "Cohere": GROUPED,
    "Bloom": {"n_layer": 2, "n_head": 4},
    "OPT": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "GPT2": {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": 128},
    "GPTJ": {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": 128, "rotary_dim": 4},
    "Falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "Bert": {},
    "Roberta": {"pad_token_id": 1},
    "XLMRoberta": {"pad_token_id": 1},
    "DistilBert": {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48},
    "Electra": {"embedding_size": 32},
    "Albert": {"embedding_size": 32},
    "MPNet": {"pad_token_id": 1},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {"local_attention": 8, "global_attn_every_n_layers": 2},
}


def a_module(family: str, head: str, fields: dict[str, Any]) -> Any:
    """A module of the family with weights that no two runs differ in."""
    torch.manual_seed(11)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **fields})
    name = "GPT2LMHeadModel" if (family, head) == ("GPT2", "ForCausalLM") else f"{family}{head}"
    return getattr(transformers, name)(config).eval()


def loaded(module: Any, task: Task) -> Loaded:
    facts = Model(
        task, frozenset([task]), "", "", "cpu", "float32", 128, VOCABULARY, ByteTokenizer()
    )
    adjust = adjustment(module) if task is Task.GENERATE else unchanged
    return Loaded(module, facts, module.config.pad_token_id, adjust)


def random_tokens(length: int, seed: int) -> Tokens:
    numbers = torch.Generator().manual_seed(seed)
    return Tokens(tuple(torch.randint(3, VOCABULARY, (length,), generator=numbers).tolist()))


@pytest.mark.parametrize("family", DECODERS)
def test_decoders_equal_generate(family: str) -> None:
    module = a_module(family, "ForCausalLM", DECODERS[family])
    decoder = Decoder(loaded(module, Task.GENERATE))
    sequences = [
        DecoderSequence(random_tokens(length, length), Sampling(20)) for length in (1, 5, 19)
    ]
    made: dict[DecoderSequence, list[int]] = {sequence: [] for sequence in sequences}
    for _ in range(20):  # in turn, so that each has the others between its own steps
        for sequence in sequences:
            made[sequence].append(decoder.next_token(sequence))
    for sequence in sequences:
        ids = torch.tensor([sequence.prompt.ids])
        with torch.inference_mode():
            whole = module.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
            )
        expected = whole[0, ids.shape[1] :].tolist()
        assert made[sequence] == expected
    assert len({token for tokens in made.values() for token in tokens}) > 6, "shows little"


LENGTHS = (3, 17, 1, 30, 8, 17)


@pytest.mark.parametrize("family", ENCODERS)
def test_padding_changes_no_vector(family: str) -> None:
    module = a_module(family, "Model", ENCODERS[family])
    encoder = Encoder(loaded(module, Task.EMBED), Pooling(tuple(MODES)))
    inputs = [random_tokens(length, length) for length in LENGTHS]
    together = encoder.forward(inputs)
    for tokens, row in zip(inputs, together, strict=True):
        with torch.inference_mode():
            states = module(torch.tensor([tokens.ids])).last_hidden_state[0]
        weights = torch.arange(1, len(tokens) + 1)[:, None]
        expected = torch.cat(
            [
                states[0],
                states.mean(0),
                states.max(0).values,
                states.sum(0) / len(tokens) ** 0.5,
                (states * weights).sum(0) / weights.sum(),
                states[-1],
            ]
        )
        assert torch.allclose(row, expected, atol=1e-5), family


@pytest.mark.parametrize("family", [*ENCODERS, "Llama", "Qwen2", "GPT2", "Gemma"])
def test_padding_changes_no_logit(family: str) -> None:
    fields = {**ENCODERS.get(family, DECODERS.get(family, {})), "num_labels": 3}
    module = a_module(family, "ForSequenceClassification", fields)
    inputs = [random_tokens(length, length) for length in LENGTHS]
    together = Encoder(loaded(module, Task.CLASSIFY), None).forward(inputs)
    for tokens, row in zip(inputs, together, strict=True):
        with torch.inference_mode():
            expected = module(torch.tensor([tokens.ids])).logits[0]
        assert torch.allclose(row, expected, atol=1e-5), family


def test_a_classifier_without_padding_takes_its_inputs_one_by_one() -> None:
    module = a_module("GPT2", "ForSequenceClassification", {**DECODERS["GPT2"], "num_labels": 2})
    inputs = [random_tokens(length, length) for length in LENGTHS]
    expected = Encoder(loaded(module, Task.CLASSIFY), None).forward(inputs)
    module.config.pad_token_id = None
    alone = Encoder(loaded(module, Task.CLASSIFY), None).forward(inputs)
    assert torch.allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_a_released_sequence_leaves_nothing(family: str) -> None:
    decoder = Decoder(loaded(a_module(family, "ForCausalLM", DECODERS[family]), Task.GENERATE))
    sequence = DecoderSequence(random_tokens(4, 4), Sampling(9))
    first = [decoder.next_token(sequence) for _ in range(3)]
    decoder.release(sequence)
    decoder.release(sequence)
    assert [decoder.next_token(sequence) for _ in range(3)] == first
