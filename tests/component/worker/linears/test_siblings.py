"""Layers that read the same states and share a kernel: which ones, and that nothing changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lepton_worker.backends.linears.choose import Kind
from lepton_worker.backends.linears.gate import outputs
from lepton_worker.backends.linears.install import install_linears
from lepton_worker.backends.linears.kernels import LinearKernel
from lepton_worker.backends.linears.lora import Adapters
from lepton_worker.backends.linears.replace import (
    MAKERS,
    held_bytes,
    linears,
    make_kernel,
    replace_linears,
    why_not,
)
from lepton_worker.backends.linears.siblings import Share, shares, siblings, watched
from lepton_worker.request import Task

pytestmark = pytest.mark.component

Make = Callable[..., Any]
QKV = ("a.q", "a.k", "a.v")


@pytest.fixture(autouse=True)
def _can_run_all() -> None:
    for kind in ("float16", "int8"):
        if why_not(kind):
            pytest.skip(why_not(kind))


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([], []),
        ([("a.q", False), ("a.k", True), ("a.v", True), ("a.o", False)], [QKV]),
        # The same in every forward.
        ([("a.q", False), ("a.k", True), ("a.v", True)] * 2, [QKV]),
        # Together once, and apart another time.
        ([("a.k", False), ("a.v", True), ("a.k", False), ("a.v", False)], []),
        # Of two modules: one of them may not be called another time.
        ([("a.q", False), ("b.q", True)], []),
        # One layer twice.
        ([("a.q", False), ("a.q", True)], []),
    ],
)
def test_siblings_run_in_a_row_on_the_same_states(
    calls: list[tuple[str, bool]], found: list[tuple[str, ...]]
) -> None:
    assert siblings(calls) == found


def found_in(module: Any) -> list[tuple[str, ...]]:
    with watched(list(linears(module))) as calls:
        outputs(module)
    return siblings(calls)


def test_siblings_of_a_decoder_are_found_by_running_it(tiny: Make) -> None:
    names = [
        [f"model.layers.{layer}.{part}_proj" for part in parts]
        for layer in range(2)
        for parts in (("self_attn.q", "self_attn.k", "self_attn.v"), ("mlp.gate", "mlp.up"))
    ]
    assert found_in(tiny("llama")) == list(map(tuple, names))
    assert found_in(tiny("gpt2")) == []


class Changing(nn.Module):
    """Two layers on one tensor, which is changed in between."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.a(x)
        result: torch.Tensor = first + self.b(x.add_(1))
        return result


def test_states_changed_in_between_are_others() -> None:
    module = Changing()
    with watched(list(linears(module))) as calls, torch.inference_mode():
        module(torch.ones(2, 8))
    assert calls == [("a", False), ("b", False)]
    assert not module.a._forward_pre_hooks


def layers(biases: tuple[bool, ...] = (True, False, True)) -> list[nn.Linear]:
    torch.manual_seed(0)
    sizes = (64, 32, 96)
    return [nn.Linear(48, size, bias=bias) for size, bias in zip(sizes, biases, strict=True)]


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("biases", [(True, False, True), (False, False, False)])
@pytest.mark.parametrize("shape", [(1, 48), (1, 7, 48), (0, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_that_share_a_kernel_give_the_numbers_of_their_own(
    kind: Kind, biases: tuple[bool, ...], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = torch.randn(shape).to(dtype)
    own = [make_kernel(layer, kind) for layer in layers(biases)]
    shared = shares(layers(biases), MAKERS[kind])
    with torch.inference_mode():
        for one, other in zip(shared, own, strict=True):
            found = one(x)
            assert torch.allclose(found, other(x), rtol=0, atol=0 if kind == "int8" else 1e-6)
            assert found.is_contiguous(), "so that callers may view it in other shapes"
            assert found.dtype is dtype
    assert [item.kind for item in shared] == [kind] * 3
    assert [item.weight.shape for item in shared] == [item.weight.shape for item in own]


def test_results_are_made_anew_for_other_states_and_for_who_asks_again() -> None:
    first, second, _ = shares(layers(), MAKERS["int8"])
    own = make_kernel(layers()[0], "int8")
    x, y = torch.randn(2, 48), torch.randn(2, 48)
    with torch.inference_mode():
        kept = first(x)
        kept.zero_()
        assert torch.equal(first(x), own(x)), "asked again"
        second(x)
        assert torch.equal(first(y), own(y)), "others while a part of the old ones is left"
        assert not kept.any()


def test_int8_of_a_decoder_shares_kernels(tiny: Make) -> None:
    module, alone = tiny("llama"), tiny("llama")
    done = install_linears(module, "int8", Task.GENERATE, "float32")
    names = [name for group in found_in(tiny("llama")) for name in group]
    assert len(names) == 10
    assert all(isinstance(module.get_submodule(name), Share) for name in names)
    replaced = replace_linears(alone, "int8")
    assert done.replaced.count == replaced.count == 15
    assert held_bytes(module) == held_bytes(alone)
    for one, other in zip(outputs(module), outputs(alone), strict=True):
        assert torch.equal(one, other)


def test_a_layer_that_is_spared_shares_nothing(tiny: Make) -> None:
    module = tiny("llama")
    replace_linears(module, "int8", ["k_proj"], found_in(module))
    kinds = {
        name.rpartition(".")[2]: type(item)
        for name, item in module.named_modules()
        if isinstance(item, (LinearKernel, nn.Linear))
    }
    assert kinds["k_proj"] is nn.Linear
    assert kinds["q_proj"] is not Share
    assert kinds["up_proj"] is kinds["gate_proj"] is Share


def test_an_adapter_changes_one_of_the_layers_that_share(tiny: Make, save: Any) -> None:
    folder, _ = save("llama")
    shared, alone = tiny("llama"), tiny("llama")
    replace_linears(shared, "int8", together=found_in(shared))
    replace_linears(alone, "int8")
    base = outputs(shared)
    for module in (shared, alone):
        adapters = Adapters(module)
        adapters.load("one", folder, "")
        adapters.begin_segments([("one", 1)])
    for found, exact, without in zip(outputs(shared), outputs(alone), base, strict=True):
        assert torch.equal(found, exact)
        assert not torch.allclose(found, without, atol=1e-2)
