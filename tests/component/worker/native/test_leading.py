"""Which layers stand for all of a model when its numbers are checked."""

from typing import Any

import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig, Qwen3Config

from lepton_testing.slot_decoders import CONFIGS, SHAPE, WINDOW, build, causal, loaded
from lepton_worker.backends.native.decoder_parity import check
from lepton_worker.backends.native.leading import leading, shortest

pytestmark = pytest.mark.component

LONG: dict[str, Any] = {**SHAPE, "num_hidden_layers": 7}
TURNS = ["full_attention"] * 4 + ["sliding_attention"] + ["full_attention"] * 2


def late_window() -> Any:
    return Qwen3Config(
        **LONG, head_dim=8, use_sliding_window=True, sliding_window=WINDOW, layer_types=TURNS
    )


@pytest.mark.parametrize(
    ("kinds", "count"),
    [
        ("a", 1),
        ("aa", 2),
        ("aaaaaa", 2),
        ("abab", 2),
        ("aaabaa", 4),
        ("abcabd", 6),
        ("", 0),
    ],
)
def test_so_many_layers_hold_every_kind(kinds: str, count: int) -> None:
    assert shortest(kinds) == count


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (LlamaConfig(**LONG), 2),
        (MistralConfig(**LONG, sliding_window=WINDOW), 2),
        (Gemma3TextConfig(**LONG, head_dim=8, sliding_window=WINDOW), 6),
        (late_window(), 5),
    ],
)
def test_a_check_computes_the_layers_that_it_needs(config: Any, count: int) -> None:
    module = causal(config)
    layers, ran = module.model.layers, []
    for index, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    with leading(module) as found:
        module(input_ids=torch.zeros((1, 3), dtype=torch.long))
    assert (found, ran) == (count, list(range(count)))
    assert module.model.layers is layers
    assert check(loaded(module)) is None
    assert len(module.model.layers) == 7


@pytest.mark.parametrize("family", CONFIGS)
def test_no_model_is_checked_by_one_layer(family: str) -> None:
    with leading(build(CONFIGS[family]())) as found:
        assert found is None


def test_a_layer_of_other_sizes_is_another_kind() -> None:
    module = causal(LlamaConfig(**LONG))
    module.model.layers[3].mlp.up_proj = torch.nn.Linear(32, 50, bias=False)
    with leading(module) as found:
        assert found == 4


def test_a_wrong_kind_of_layer_is_noticed_wherever_it_is_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = build(late_window())
    assert check(loaded(module)) is None
    monkeypatch.setattr("lepton_worker.backends.native.attention_slots.seen", _everything)
    assert "differ from its own" in str(check(loaded(module)))


def test_a_module_that_fails_gets_its_layers_back() -> None:
    module = causal(LlamaConfig(**LONG))
    layers = module.model.layers
    with pytest.raises(ZeroDivisionError), leading(module):
        raise ZeroDivisionError
    assert module.model.layers is layers


def _everything(*_: Any) -> None:
    """In place of a window: there is none."""
