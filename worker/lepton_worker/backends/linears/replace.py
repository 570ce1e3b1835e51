"""Kernels in place of the linear layers of a loaded module."""

import ctypes
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lepton_worker.backends.linears import bf16, int4, packed_fp16, packed_fp32
from lepton_worker.backends.linears.bf16 import Bfloat16
from lepton_worker.backends.linears.choose import Kind
from lepton_worker.backends.linears.int4 import GroupedInt4
from lepton_worker.backends.linears.int8 import Route, RowwiseInt8
from lepton_worker.backends.linears.int8_routes import best_route
from lepton_worker.backends.linears.kernels import LinearKernel, is_linear, oriented
from lepton_worker.backends.linears.later_half import HalfLater
from lepton_worker.backends.linears.packed_fp16 import PackedHalf
from lepton_worker.backends.linears.packed_fp32 import PackedSingle
from lepton_worker.backends.linears.siblings import shares
from lepton_worker.errors import InvalidSetting


@dataclass(frozen=True)
class Replaced:
    """How many layers were replaced, and the bytes of all weights of the module.

    Weights that several parts share count once: a head whose weight is the embedding's too
    leaves the embedding behind.
    """

    count: int
    bytes_before: int
    bytes_after: int


def replace_linears(
    module: nn.Module,
    kind: Kind,
    skip: Collection[str] = (),
    together: Collection[tuple[str, ...]] = (),
    later: bool = False,
) -> Replaced:
    """Put kernels of a kind in place of the linear layers, one after the other.

    `skip` has names as `named_modules` gives them, whole or their last parts. Layers that are named
    together share a kernel, unless one of them stays. Each layer's own weights are let go before
    the next is packed, so the peak is one kernel above the start. Layers that `is_linear` does not
    know stay, and those whose sizes the kind does not take. With `later` float16 is left to be
    packed by `Packing`. Raises InvalidSetting if the machine cannot run the kind.
    """
    before = held_bytes(module)
    if kind == "none":
        return Replaced(0, before, before)
    fault = why_not(kind)
    if fault:
        raise InvalidSetting(fault)
    # Names alone: a list of layers would keep all their weights to the end.
    names = [
        name
        for name, layer in linears(module)
        if not is_named(name, skip) and (kind != "int4" or int4.fits(layer))
    ]
    joined = [group for group in together if set(group) <= set(names)]
    alone = set(names).difference(*joined)
    for group in (*joined, *((name,) for name in names if name in alone)):
        _pack(module, group, kind, later)
    trim()
    return Replaced(len(names), before, held_bytes(module))


def trim() -> None:
    """Hand freed weights back to the system: glibc keeps those that lie between others."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def linears(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The linear layers below a module with their names, each once."""
    for name, layer in module.named_modules():
        if name and is_linear(layer):
            yield name, layer


def is_named(name: str, names: Collection[str]) -> bool:
    """Whether one of the names is this one or its last parts."""
    return any(name == item or name.endswith(f".{item}") for item in names)


def make_kernel(layer: nn.Module, kind: Kind) -> LinearKernel:
    """A kernel with the weights of a layer; the machine has to be able to run the kind."""
    weight, bias = oriented(layer)
    return MAKERS[kind](weight, bias)


def _pack(module: nn.Module, names: Sequence[str], kind: Kind, later: bool) -> None:
    layers = [module.get_submodule(name) for name in names]
    if len(layers) == 1:
        waits = later and kind == "float16"
        put(module, names[0], HalfLater.of(layers[0]) if waits else make_kernel(layers[0], kind))
        return
    for name, share in zip(names, shares(layers, MAKERS[kind]), strict=True):
        put(module, name, share)


def put(module: nn.Module, name: str, new: nn.Module) -> None:
    """Put a layer in the place of another, everywhere that the same object is used."""
    old = module.get_submodule(name)
    for parent in list(module.modules()):
        for child_name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, child_name, new)


def held_bytes(module: nn.Module) -> int:
    """The bytes of all weights of a module, those in kernels included."""
    storages: dict[int, int] = {}
    tensors = [*module.parameters(), *module.buffers()]
    for tensor in tensors:
        if tensor.device.type != "meta":
            storage: Any = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    kernels = [item for item in module.modules() if isinstance(item, LinearKernel)]
    return sum(storages.values()) + sum(item.bytes for item in kernels)


def why_not(kind: Kind) -> str:
    """Why this machine cannot run a kind, or nothing."""
    if kind == "int8":
        route = best_route()
        return route if isinstance(route, str) else ""
    if kind == "float16":
        return packed_fp16.why_not()
    if kind == "float32-packed":
        return packed_fp32.why_not()
    if kind == "int4":
        return int4.why_not()
    return bf16.why_not() if kind == "bfloat16" else ""


def _int8(weight: torch.Tensor, bias: torch.Tensor | None) -> LinearKernel:
    route = best_route()
    if not isinstance(route, Route):
        raise InvalidSetting(route)
    return RowwiseInt8(weight, bias, route)


MAKERS: dict[Kind, Callable[[torch.Tensor, torch.Tensor | None], LinearKernel]] = {
    "float32-packed": PackedSingle,
    "float16": PackedHalf,
    "int8": _int8,
    "int4": GroupedInt4,
    "bfloat16": Bfloat16,
}
