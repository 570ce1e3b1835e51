"""Each kernel against float32: its error, its shapes, and that rows do not change one another."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from lepton_worker.backends.linears import packed_fp16
from lepton_worker.backends.linears.choose import Kind
from lepton_worker.backends.linears.int8 import Route, RowwiseInt8
from lepton_worker.backends.linears.int8_routes import (
    FBGEMM,
    ONEDNN,
    SEVEN_BITS,
    best_route,
    why_inexact,
)
from lepton_worker.backends.linears.kernels import LinearKernel, features, is_linear
from lepton_worker.backends.linears.probe import ROWS, time_kinds
from lepton_worker.backends.linears.replace import make_kernel, why_not

pytestmark = pytest.mark.component

KINDS: list[Kind] = ["float32-packed", "float16", "int8", "int4", "bfloat16"]
LARGEST_ERROR = {
    "float32-packed": 1e-6,
    "float16": 1e-3,
    "int8": 3e-2,
    "int4": 0.12,
    "bfloat16": 1e-2,
}


def kernel(kind: Kind, layer: nn.Module) -> LinearKernel:
    if why_not(kind):
        pytest.skip(why_not(kind))
    with torch.inference_mode():
        return make_kernel(layer, kind)


def linear(inputs: int = 96, outputs: int = 160, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias)


def transposed(outputs: int, inputs: int) -> nn.Module:
    layer: nn.Module = Conv1D(outputs, inputs)  # type: ignore[no-untyped-call]
    return layer


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 96), (7, 96), (1, 7, 96), (2, 33, 96)])
def test_result_is_near_float32s(kind: Kind, bias: bool, shape: tuple[int, ...]) -> None:
    layer = linear(bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        found, exact = kernel(kind, layer)(x), layer(x)
    assert found.shape == exact.shape
    assert found.dtype is torch.float32
    assert error(found, exact) <= LARGEST_ERROR[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_bias_is_added_as_it_is(kind: Kind) -> None:
    layer = linear()
    packed = kernel(kind, layer)
    with torch.inference_mode():
        assert torch.equal(packed(torch.zeros(3, 96)), layer.bias.expand(3, -1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 96), (1, 0, 96)])
def test_no_rows_give_no_rows(kind: Kind, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        assert kernel(kind, linear())(torch.empty(shape)).shape == (*shape[:-1], 160)


@pytest.mark.parametrize("kind", KINDS)
def test_input_may_lie_in_memory_in_any_order(kind: Kind) -> None:
    packed = kernel(kind, linear())
    x = torch.randn(96, 5).t()
    with torch.inference_mode():
        assert torch.equal(packed(x), packed(x.contiguous()))
        half = packed(x.bfloat16())
    assert half.dtype is torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_input_is_left_alone(kind: Kind) -> None:
    x = torch.randn(5, 96)
    before = x.clone()
    with torch.inference_mode():
        kernel(kind, linear())(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
def test_transposed_layer_of_gpt2_is_the_same(kind: Kind) -> None:
    layer = transposed(160, 96)
    x = torch.randn(3, 96)
    packed = kernel(kind, layer)
    assert features(packed) == features(layer) == (96, 160)
    with torch.inference_mode():
        assert error(packed(x), layer(x)) <= LARGEST_ERROR[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_can_compute_with_the_stand_in_for_the_weight(kind: Kind) -> None:
    packed = kernel(kind, linear())
    assert packed.weight.dtype is torch.float32
    assert not list(packed.parameters())
    assert packed.weight.shape == (160, 96)
    with pytest.raises(TypeError):
        functional.linear(torch.ones(1, 96), packed.weight)  # type: ignore[arg-type]


def routes() -> list[Route]:
    """Every route that is exact on this machine."""
    best = best_route()
    if not isinstance(best, Route):
        return []
    full = [route for route in (ONEDNN, FBGEMM) if not why_inexact(route)]
    return [*full, SEVEN_BITS]


@pytest.mark.parametrize("route", routes(), ids=str)
def test_int8_row_does_not_depend_on_its_neighbours(route: Route) -> None:
    layer = linear(256, 300)
    packed = RowwiseInt8(layer.weight.detach(), layer.bias.detach(), route)
    x = torch.randn(40, 256)
    loud = x.clone()
    loud[1::2] *= 20
    with torch.inference_mode():
        alone = torch.cat([packed(row[None]) for row in x[::2]])
        assert torch.equal(packed(x)[::2], alone)
        assert torch.equal(packed(loud)[::2], alone)


def test_int4_row_does_not_depend_on_its_neighbours() -> None:
    packed = kernel("int4", linear(256, 304))
    x = torch.randn(40, 256)
    loud = x.clone()
    loud[1::2] *= 20
    with torch.inference_mode():
        alone = torch.cat([packed(row[None]) for row in x[::2]])
        assert torch.equal(packed(x)[::2], alone)
        assert torch.equal(packed(loud)[::2], alone)


def test_int4_keeps_a_weight_that_is_one_of_its_levels() -> None:
    layer = nn.Linear(64, 16, bias=False)
    layer.weight.data = torch.arange(16.0).repeat(16, 4) - 8
    x = torch.ones(1, 64)
    with torch.inference_mode():
        assert torch.equal(kernel("int4", layer)(x), layer(x))


@pytest.mark.parametrize("route", routes(), ids=str)
@pytest.mark.parametrize("factor", [1e-20, 1.0, 1e20])
def test_int8_error_does_not_depend_on_the_size_of_a_row(route: Route, factor: float) -> None:
    layer = linear(bias=False)
    packed = RowwiseInt8(layer.weight.detach(), None, route)
    x = torch.randn(8, 96) * factor
    with torch.inference_mode():
        exact = layer(x)
        assert float(((packed(x) - exact).norm(dim=1) / exact.norm(dim=1)).max()) < 4e-2


@pytest.mark.parametrize("route", routes(), ids=str)
def test_int8_row_of_no_numbers_or_nothing_spoils_only_itself(route: Route) -> None:
    packed = RowwiseInt8(linear().weight.detach(), None, route)
    x = torch.randn(4, 96)
    with torch.inference_mode():
        good = packed(x)
        x[1], x[3] = float("nan"), 0.0
        found = packed(x)
    assert torch.equal(found[[0, 2]], good[[0, 2]])
    assert found[1].isnan().all()
    assert not found[3].any()


@pytest.mark.parametrize("route", routes(), ids=str)
def test_int8_does_not_saturate_at_full_scale(route: Route) -> None:
    packed = RowwiseInt8(torch.ones(32, 1024), None, route)
    signs = torch.cat([torch.ones(2, 1024), -torch.ones(2, 1024)])
    with torch.inference_mode():
        assert torch.allclose(packed(signs), signs[:, :1] * 1024, rtol=1e-3)


@pytest.mark.skipif(not routes(), reason="no int8 here")
def test_without_vnni_activations_get_seven_bits() -> None:
    code = (
        "from lepton_worker.backends.linears.int8 import Route\n"
        "from lepton_worker.backends.linears.int8_routes import best_route\n"
        "route = best_route()\n"
        "assert route == Route('fbgemm', 63), route\n"
    )
    old = {"ONEDNN_MAX_CPU_ISA": "AVX2", "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | old)


def test_missing_operator_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise AttributeError("no operator of that name\nand a stack")

    monkeypatch.setattr(packed_fp16.PackedHalf, "compute", gone)
    assert why_not("float16") == (
        "this torch cannot run float16 weights here (no operator of that name)"
    )


class Other(nn.Linear):
    """A layer that may do something else."""


def test_only_plain_layers_are_linear() -> None:
    hooked = linear()
    hooked.register_forward_hook(lambda *_: None)
    assert is_linear(linear())
    assert is_linear(transposed(4, 4))
    assert not is_linear(hooked)
    assert not is_linear(Other(4, 4))
    assert not is_linear(nn.Linear(4, 4, device="meta"))


def test_probe_times_every_kind_and_stops_with_its_budget() -> None:
    if why_not("float16"):
        pytest.skip(why_not("float16"))
    ticks = iter(range(1, 10000))
    found = time_kinds(["float16"], budget=1.0, clock=lambda: float(next(ticks)))
    assert found == {name: dict.fromkeys(ROWS, 1.0) for name in ("float32", "float16")}
    # Two kinds with three numbers of rows, each between two looks, one before and one after.
    assert next(ticks) == 2 * 2 * 3 + 2 + 1
