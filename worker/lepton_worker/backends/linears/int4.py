"""int4 weights with a scale and an offset for every 32 of them."""

from typing import Any

import torch
from torch import nn

from lepton_worker.backends.linears.kernels import LinearKernel, features, first_line, tensor_bytes

GROUP = 32
OUTPUTS = 16
"""The number of outputs has to be a multiple of this."""
LEVELS = 15
MIDDLE = 8
"""The level that stands for the offset of its group."""
SMALLEST = 1e-8
TOLERANCE = 0.15


class GroupedInt4(LinearKernel):
    """Weights rounded to the nearest of 16 levels between the extremes of their group.

    0.6 bytes a weight with scale and offset. The error of a layer is about 8 % of its output for
    weights that are normally distributed; activations are rounded to bfloat16. One row takes about
    as long as reading the weights, many rows longer than with float16, for nothing is multiplied in
    integers. Rounding to nearest in groups is the baseline of GPTQ (Frantar et al., 2023,
    arXiv 2210.17323).
    """

    kind = "int4"

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(weight)
        groups = weight.view(len(weight), -1, GROUP)
        low, high = groups.amin(-1), groups.amax(-1)
        scale = ((high - low) / LEVELS).clamp_min(SMALLEST).bfloat16()
        offset = (low + MIDDLE * scale).bfloat16()
        levels = (groups - offset[..., None].float()) / scale[..., None].float()
        levels = levels.round_().add_(MIDDLE).clamp_(0, LEVELS).to(torch.int32)
        pack = torch.ops.aten._convert_weight_to_int4pack_for_cpu
        self.packed: Any = pack(levels.view(weight.shape), 1)
        self.groups = torch.stack([scale, offset], -1).transpose(0, 1).contiguous()
        self.offset = bias
        self.bytes = tensor_bytes(self.packed, self.groups, bias)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product, by torch's own kernel for few rows."""
        rows = x.reshape(-1, self.in_features).bfloat16().contiguous()
        multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
        result: torch.Tensor = multiply(rows, self.packed, GROUP, self.groups).float()
        result = result.view(*x.shape[:-1], self.out_features)
        return result if self.offset is None else result.add_(self.offset)


def fits(layer: nn.Module) -> bool:
    """Whether the sizes of a layer are such as the kernel takes."""
    inputs, outputs = features(layer)
    return inputs % GROUP == 0 and outputs % OUTPUTS == 0


def why_not() -> str:
    """Why this machine cannot run it, or nothing."""
    weight = torch.linspace(-1, 1, 64 * 64).view(64, 64).contiguous()
    x = torch.linspace(0, 1, 5 * 64).view(5, 64)
    try:
        result = GroupedInt4(weight, None)(x)
    except (AttributeError, RuntimeError, NotImplementedError) as error:
        return f"this torch cannot run int4 weights here ({first_line(error)})"
    exact = x @ weight.t()
    if float((result - exact).norm() / exact.norm()) > TOLERANCE:
        return "this torch computes int4 weights wrongly here"
    return ""
