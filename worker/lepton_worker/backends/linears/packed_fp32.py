"""float32 weights in the blocks in which oneDNN reads them, for a few rows at a time."""

from typing import Any

import torch

from lepton_worker.backends.linears.kernels import LinearKernel, tensor_bytes, trial_fault

ROWS = 4
"""For how many rows oneDNN lays the weights out; any number works, and more lose little."""


class PackedSingle(LinearKernel):
    """Weights as they are, laid out once instead of in each product.

    The numbers are those of float32 but for the order of sums. With two to some sixty rows a
    product takes about the time of reading the weights; with one row it gains nothing, with
    hundreds little.
    """

    kind = "float32-packed"

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(weight)
        self.packed: Any = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self.offset = bias
        self.bytes = weight.numel() * 4 + tensor_bytes(bias)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product, by oneDNN."""
        operator = torch.ops.mkldnn._linear_pointwise
        result: torch.Tensor = operator(x, self.packed, self.offset, "none", [], "")
        return result


def why_not() -> str:
    """Why this machine cannot run it, or nothing."""
    return trial_fault(PackedSingle, 32, "packed float32")
