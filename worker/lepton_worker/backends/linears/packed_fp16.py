"""float16 weights in fbgemm's packed form, with float32 in and out."""

import warnings
from typing import Any

import torch

from lepton_worker.backends.linears.kernels import LinearKernel, tensor_bytes, trial_fault


class PackedHalf(LinearKernel):
    """Weights rounded to float16 and packed in blocks; products are summed in float32.

    Half the memory of float32. Rounding moves a weight by 2^-11 of itself at most, weights below
    6e-5 by up to 3e-8. The time for few rows is that of reading the weights, so about half;
    for hundreds of rows it is that of float32 (FBGEMM: Khudia et al., 2021, arXiv 2101.05615).
    """

    kind = "float16"

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(weight)
        self.pack(weight, bias)

    def pack(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Keep weights and bias in fbgemm's form."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.packed: Any = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        self.bytes = weight.numel() * 2 + tensor_bytes(bias)

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product, by fbgemm."""
        result: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return result


def why_not() -> str:
    """Why this machine cannot run it, or nothing."""
    return trial_fault(PackedHalf, 16, "float16")
