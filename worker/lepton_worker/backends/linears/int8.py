"""int8 weights and activations, with a scale for every row."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lepton_worker.backends.linears.kernels import LinearKernel, tensor_bytes

WEIGHT_LEVELS = 127
SMALLEST = 1e-30
"""Stands in for the largest number of a row that is all zero."""


@dataclass(frozen=True)
class Route:
    """Which library multiplies, and how many levels an activation has on each side of zero.

    x86 without VNNI adds two products of 8 x 8 bits in 16 bits, which saturate at full scale:
    there 63 levels are safe (127 * 127 * 2 < 2^15) and 127 are not.
    """

    library: Literal["fbgemm", "onednn"]
    levels: int

    @property
    def zero_point(self) -> int:
        """Where zero lies in the unsigned bytes that the libraries take."""
        return self.levels + 1


class RowwiseInt8(LinearKernel):
    """int8 weights with a scale per output, int8 activations with a scale per row.

    A quarter of float32's memory. Each row is divided by its largest absolute value before and
    multiplied by it after, because the libraries take one scale per call: without it a
    neighbour's outlier would change everybody's numbers. Sums are exact integers, so a row's
    result does not depend on the rows beside it. The error of a layer is about 1 % of its output
    (127 levels) or 2 % (63), more where single features of a row stand far out.
    """

    kind = "int8"

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, route: Route) -> None:
        super().__init__(weight)
        self.route = route
        self.offset = bias
        self.scales = weight.abs().amax(1).clamp_min(SMALLEST) / WEIGHT_LEVELS
        if route.library == "onednn":
            levels = (weight / self.scales[:, None]).round_().to(torch.int8)
            self.zeros = torch.zeros(len(weight), dtype=torch.int64)
            self.packed: Any = torch.ops.onednn.qlinear_prepack(levels, [4, self.in_features])
        else:
            self.packed = _fbgemm_packed(weight, self.scales)
        self.bytes = weight.numel() + tensor_bytes(bias, self.scales)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product of the normalised rows, by the route's library."""
        result, step = self._normalised(x)
        result.mul_(step)
        return result if self.offset is None else result.add_(self.offset)

    def parts(self, x: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
        """The product in pieces, which the scale takes apart on its way."""
        if not x.numel() or x.dtype is not torch.float32:
            return super().parts(x, sizes)
        result, step = self._normalised(x)
        found = [torch.mul(part, step) for part in result.split_with_sizes(list(sizes), -1)]
        if self.offset is not None:
            for part, offset in zip(found, self.offset.split_with_sizes(list(sizes)), strict=True):
                part.add_(offset)
        return found

    def _normalised(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The product of rows divided by their steps, and the steps [..., 1]."""
        step = x.abs().amax(-1, keepdim=True).clamp_min_(SMALLEST).div_(self.route.levels)
        multiply = self._onednn if self.route.library == "onednn" else self._fbgemm
        return multiply(x / step), step

    def _fbgemm(self, levels: torch.Tensor) -> torch.Tensor:
        operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        result: torch.Tensor = operator(levels, 1.0, self.route.zero_point, self.packed)
        return result

    def _onednn(self, levels: torch.Tensor) -> torch.Tensor:
        # A scale of one: oneDNN's kernels for different numbers of rows multiply in different
        # orders, and only a factor of one is rounded the same in all of them.
        zero_point = self.route.zero_point
        unsigned = levels.round_().add_(zero_point).to(torch.uint8)
        result: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *(unsigned, 1.0, zero_point),
            *(self.packed, self.scales, self.zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return result


def _fbgemm_packed(weight: torch.Tensor, scales: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        # Tensors of quantized dtypes are on their way out of torch; the probe says when they are.
        warnings.simplefilter("ignore")
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        levels = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(levels, None)
