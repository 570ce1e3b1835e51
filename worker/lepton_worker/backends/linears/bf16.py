"""bfloat16 weights with float32 in and out, for CPUs that multiply bfloat16 themselves."""

from typing import Any

import torch

from lepton_worker.backends.linears.kernels import LinearKernel, tensor_bytes, trial_fault

ROWS = 4
"""For how many rows oneDNN lays the weights out; any number works."""


class Bfloat16(LinearKernel):
    """Weights and activations rounded to bfloat16 (8 bits of precision), sums in float32.

    Half the memory of float32 and an error of about 0.4 % of a layer's output, for the result is
    rounded too. Many times as fast as float32 with AMX; without AMX or AVX512_BF16 it is emulated
    and slower, so a probe has to come first.
    """

    kind = "bfloat16"

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(weight)
        self.packed: Any = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), ROWS)
        self.offset = bias
        self.bytes = weight.numel() * 2 + tensor_bytes(bias)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product, by oneDNN; the bias is added in float32."""
        operator = torch.ops.mkldnn._linear_pointwise
        result: torch.Tensor = operator(x.bfloat16(), self.packed, None, "none", [], "").float()
        return result if self.offset is None else result.add_(self.offset)


def why_not() -> str:
    """Why this machine cannot run it, or nothing."""
    return trial_fault(Bfloat16, 32, "bfloat16")
