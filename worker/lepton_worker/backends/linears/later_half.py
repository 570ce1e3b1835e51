"""float16 weights that are packed behind the first answers."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.functional import linear

from lepton_worker.backends.linears.kernels import LinearKernel, oriented, tensor_bytes
from lepton_worker.backends.linears.packed_fp16 import PackedHalf


class HalfLater(PackedHalf):
    """`PackedHalf` whose weights are packed when it is told so; until then it computes in float32.

    Packing takes some 10 ns a weight, rounding a third of it. The weights are rounded at once, so
    packing changes a product by the order of its sums alone. Until then they take twice the memory.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        LinearKernel.__init__(self, weight)
        self._rounded: torch.Tensor | None = weight.half().float()
        self._bias = bias
        self.bytes = tensor_bytes(self._rounded, bias)

    @classmethod
    def of(cls, layer: nn.Module) -> "HalfLater":
        """With the weights of a linear layer."""
        return cls(*oriented(layer))

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        """The product, in float32 or by fbgemm."""
        if self._rounded is not None:
            return linear(x, self._rounded, self._bias)
        return super().compute(x)

    def finish(self) -> None:
        """Pack the weights; twice is once."""
        if self._rounded is not None:
            self.pack(self._rounded, self._bias)
            self._rounded = self._bias = None


class Packing:
    """The layers that are still to be packed: small ones first, so that waits begin short."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        later = (layer for layer in layers if isinstance(layer, HalfLater))
        self._left = sorted(later, key=lambda layer: layer.bytes, reverse=True)

    def go_on(self) -> bool:
        """Pack one more; False when none is left."""
        if self._left:
            self._left.pop().finish()
        return bool(self._left)

    def finish(self) -> None:
        """Pack all that are left."""
        while self.go_on():
            pass
