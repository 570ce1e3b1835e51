"""float16 weights that are packed behind the first answers: same numbers before and after."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from lepton_testing.slot_decoders import (
    CONFIGS,
    Greedy,
    build,
    finish,
    loaded,
    made,
    sequence,
    tokens,
)
from lepton_worker.backends.base import Span
from lepton_worker.backends.linears.later_half import HalfLater, Packing
from lepton_worker.backends.linears.packed_fp16 import PackedHalf, why_not
from lepton_worker.backends.linears.replace import held_bytes, replace_linears
from lepton_worker.backends.native.decoder import SlotDecoder

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(bool(why_not()), reason="this machine packs no float16"),
]

SUMS = 1e-5
"""How far products differ by the order of their sums, relative to the largest one."""


def apart(found: torch.Tensor, other: torch.Tensor) -> float:
    return float((found - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e4])
@pytest.mark.parametrize("bias", [True, False])
def test_packing_changes_no_number_but_for_the_order_of_sums(scale: float, bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(96, 160, bias=bias)
    with torch.inference_mode():
        for parameter in layer.parameters():
            parameter.mul_(scale)
        later, eager = HalfLater.of(layer), PackedHalf(layer.weight, layer.bias)
        for rows in (1, 7):
            x = torch.randn(rows, 96)
            before = later(x)
            assert apart(before, eager(x)) < SUMS
            assert apart(before, linear(x, layer.weight, layer.bias)) > SUMS
        later.finish()
        assert torch.equal(later(x), eager(x))


def test_packing_begins_with_the_smallest_and_halves_the_memory() -> None:
    module = nn.Sequential(*(nn.Linear(64, size, bias=False) for size in (96, 32, 64)))
    before = held_bytes(module)
    assert replace_linears(module, "float16", later=True).count == 3
    assert held_bytes(module) == before
    packing, held = Packing(module.modules()), [before]
    while packing.go_on():
        held.append(held_bytes(module))
    held.append(held_bytes(module))
    assert [a - b for a, b in itertools.pairwise(held)] == [64 * size * 2 for size in (32, 64, 96)]
    assert not packing.go_on()
    assert held_bytes(module) == before // 2


def test_no_other_kind_is_left_for_later() -> None:
    module = nn.Sequential(nn.Linear(64, 64))
    replace_linears(module, "float32-packed", later=True)
    assert not Packing(module.modules()).go_on()
    assert held_bytes(module) == 4 * 64 * 65


def test_a_text_goes_on_the_same_while_layers_are_packed() -> None:
    decoders = []
    for later in (False, True):
        module = build(CONFIGS["llama"]())
        replace_linears(module, "float16", later=later)
        decoders.append((SlotDecoder(loaded(module), 2, 64, Greedy()), Packing(module.modules())))
    (eager, _), (decoder, packing) = decoders
    packed_first, text = sequence(tokens(9, seed=1), 24), sequence(tokens(9, seed=1), 24)
    finish(eager, [packed_first])
    decoder.step([Span(text, len(text.ids) - decoder.begin(text))])
    rounds = 0
    while len(made(text)) < 24:
        rounds += packing.go_on()
        decoder.step([Span(text, 1)])
    assert made(text) == made(packed_first)
    assert 0 < rounds < 23, "all were packed in between"
