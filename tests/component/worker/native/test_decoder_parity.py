"""Which models run on slots, and what a token of theirs takes."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BloomConfig,
    FalconConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    T5Config,
)

from lepton_testing.slot_decoders import (
    CONFIGS,
    LONGEST,
    SHAPE,
    Greedy,
    build,
    causal,
    loaded,
)
from lepton_worker.backends.native.decoder import SlotDecoder
from lepton_worker.backends.native.decoder_parity import check
from lepton_worker.backends.native.prefix import Trim
from lepton_worker.backends.native.slots import (
    LayerShape,
    Slab,
    bytes_per_token,
    layer_shapes,
    whole_pages,
)
from lepton_worker.errors import LoadOutOfMemory, TaskNotSupported

pytestmark = pytest.mark.component

SMALL: dict[str, Any] = {"vocab_size": 120, "hidden_size": 32}


@pytest.mark.parametrize("family", CONFIGS)
def test_parity_holds(family: str) -> None:
    module = build(CONFIGS[family]())
    before = module.config._attn_implementation
    assert check(loaded(module)) is None
    assert module.config._attn_implementation == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parity_holds_in_short_numbers(dtype: torch.dtype) -> None:
    assert check(loaded(build(CONFIGS["llama"]()).to(dtype))) is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MambaConfig(**SMALL, num_hidden_layers=2, state_size=4), "another way than keys"),
        (BloomConfig(**SMALL, n_layer=2, n_head=4), "no positions"),
        (FalconConfig(**SMALL, num_hidden_layers=2, num_attention_heads=4), "of its own"),
        (Llama4TextConfig(**SHAPE, head_dim=8, attention_chunk_size=8), "or a window"),
    ],
)
def test_models_that_slots_do_not_serve_are_told_why(config: Any, reason: str) -> None:
    module = causal(config)
    found = check(loaded(module))
    assert found is not None
    assert reason in found


def test_an_encoder_and_decoder_is_told_so() -> None:
    config = T5Config(vocab_size=120, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4)
    module = AutoModelForSeq2SeqLM.from_config(config)  # type: ignore[no-untyped-call]
    found = check(loaded(module.eval()))
    assert found is not None
    assert "encoder and a decoder" in found


def test_rotations_that_depend_on_the_longest_text_are_refused_where_they_would() -> None:
    turn = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    module = build(LlamaConfig(**SHAPE, rope_parameters=turn))
    assert check(loaded(module)) is None
    assert "longest text" in str(check(loaded(module, longest=LONGEST + 1)))


def test_parity_notices_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build(CONFIGS["mistral"]())
    monkeypatch.setattr("lepton_worker.backends.native.stepping.Visible.window", 5, raising=False)
    monkeypatch.setattr("lepton_worker.backends.native.stepping.Visible.__init__", _nothing)
    assert "differ from its own" in str(check(loaded(module)))


def test_numbers_that_are_none_are_no_parity() -> None:
    module = build(CONFIGS["llama"]())
    with torch.no_grad():
        module.lm_head.weight.fill_(float("nan"))
    assert "differ from its own" in str(check(loaded(module)))


def test_addresses_that_the_system_refuses_are_told_in_words() -> None:
    with pytest.raises(LoadOutOfMemory, match="GiB of addresses"):
        Slab(1 << 20, 1 << 10, 1 << 20, 64, torch.float32, "cpu")


def _nothing(*_: Any) -> None:
    """In place of a constructor."""


def test_a_model_without_state_of_its_own_is_refused() -> None:
    module = causal(MambaConfig(**SMALL, num_hidden_layers=2, state_size=4))
    with pytest.raises(TaskNotSupported):
        SlotDecoder(loaded(module), 2, 0, Greedy())


@pytest.mark.parametrize("family", CONFIGS)
def test_memory_of_a_token_by_the_configuration_is_what_layers_keep(family: str) -> None:
    module = build(CONFIGS[family]())
    kept = sum(shape.heads * (shape.key + shape.value) for shape in layer_shapes(module))
    assert bytes_per_token(module.config, torch.float32) == 4 * kept
    assert bytes_per_token(module.config, torch.bfloat16) == 2 * kept


def test_memory_given_back_reads_as_zeros_and_neighbours_keep_theirs() -> None:
    tokens = whole_pages(1000, [LayerShape(2, 8, 8)], torch.float32)
    slab = Slab(2, 3, tokens, 8, torch.float32, "cpu")
    slab.whole.fill_(1)
    slab.trim(Trim(1, 200, tokens))
    page = whole_pages(200, [LayerShape(2, 8, 8)], torch.float32)
    assert slab.whole[:, [0, 2]].min() == 1
    assert slab.whole[:, 1, :page].min() == 1
    assert slab.whole[:, 1, page:].max() == 0
