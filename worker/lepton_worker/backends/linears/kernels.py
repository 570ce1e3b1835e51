"""What stands in for a linear layer, and which kinds of it this machine can run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lepton_worker.backends.linears.choose import Kind

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Described:
    """What a weight was like that is not kept; no tensor, so nobody computes with it unnoticed."""

    shape: torch.Size
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU


class LinearKernel(nn.Module, ABC):
    """A linear layer with weights in a shape of its own: y = x W^T + b.

    x is [..., in_features] on the CPU, y [..., out_features] in the dtype of x. The weights that it
    is made of are not kept: with the last other reference to them their memory is free.

    `weight` is only a description: some modules of transformers look at its dtype or device.
    """

    kind: Kind
    bytes: int
    """What the kernel holds, in bytes."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.weight = Described(weight.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x W^T + b for every row of x."""
        if not x.numel():
            return x.new_empty((*x.shape[:-1], self.out_features))
        if x.dtype is not torch.float32:
            return self.compute(x.float()).to(x.dtype)
        return self.compute(x)

    def parts(self, x: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
        """The product in pieces of so many outputs, each in memory of its own order."""
        return [part.contiguous() for part in self.forward(x).split_with_sizes(list(sizes), -1)]

    @abstractmethod
    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product for float32 x with at least one row."""

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.kind}"


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a plain linear layer with its weights on the CPU.

    Classes derived from `Linear` may do something else. A layer with hooks belongs to somebody.
    """
    if type(module) is not nn.Linear and type(module) is not Conv1D:
        return False
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    return module.weight.device.type == "cpu" and not hooked


def oriented(module: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weight [out, in] and bias [out] of a layer, as float32; copies only where it has to."""
    weight = module.weight.detach()
    if isinstance(module, Conv1D):
        weight = weight.t()
    bias = None if module.bias is None else module.bias.detach().float()
    return weight.float().contiguous(), bias


def features(module: Any) -> tuple[int, int]:
    """(in, out) of a linear layer, of GPT-2's `Conv1D` or of a kernel."""
    if isinstance(module, Conv1D):
        return int(module.nx), int(module.nf)
    return int(module.in_features), int(module.out_features)


def tensor_bytes(*tensors: torch.Tensor | None) -> int:
    """What tensors hold, in bytes."""
    return sum(math.prod(item.shape) * item.element_size() for item in tensors if item is not None)


def trial_fault(make: Callable[[torch.Tensor, None], LinearKernel], size: int, name: str) -> str:
    """Why this machine cannot run a kernel for weights of that name, or nothing."""
    weight = torch.eye(size)
    try:
        result = make(weight, None)(weight)
    except (AttributeError, RuntimeError) as error:
        return f"this torch cannot run {name} weights here ({first_line(error)})"
    if not torch.equal(result, weight):
        return f"this torch computes {name} weights wrongly here"
    return ""


def first_line(error: Exception) -> str:
    """What an error of torch says, without the stack that it brings along."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
