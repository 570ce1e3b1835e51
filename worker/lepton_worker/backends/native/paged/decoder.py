"""The decoder on pages: the steps of `TextDecoder` over a paged store."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lepton_worker.backends.native.choosing import Sampler
from lepton_worker.backends.native.decoder import TextDecoder
from lepton_worker.backends.native.packed import PackedForward, Segments
from lepton_worker.backends.native.paged.attention import Kernel, gathered
from lepton_worker.backends.native.paged.graphs import GraphedForward
from lepton_worker.backends.native.paged.store import CPU_PAGE, paged_store
from lepton_worker.backends.transformers.loading import Loaded


@dataclass(frozen=True)
class Paging:
    """Tokens of a page, and the kernel that reads pages, with its name for users."""

    page: int = CPU_PAGE
    kernel: Kernel = gathered
    name: str = "copies"


def pagings(device: torch.device) -> list[Callable[[], Paging]]:
    """What may read pages on a device, the best first; each raises ImportError where it is not."""
    return [_varlen, _triton] if device.type == "cuda" else [Paging]


def _varlen() -> Paging:
    from lepton_worker.backends.native.paged.varlen import PAGE, available, varlen

    if not available():
        raise ImportError("the variable-length attention of this torch has no pages")
    return Paging(PAGE, varlen, "torch's variable-length attention")


def _triton() -> Paging:
    from lepton_worker.backends.native.paged.triton_decode import PAGE, triton_decode

    return Paging(PAGE, triton_decode, "a Triton kernel")


class PagedDecoder(TextDecoder):
    """Runs `slots` texts at once in pages, which hold at least `cache_tokens` tokens together.

    With `graphs`, steps in which all texts go on by one token are replayed from CUDA graphs;
    `graphs` afterwards says whether they are, and why not. Raises TaskNotSupported for models whose
    modules do not fit.
    """

    def __init__(
        self,
        loaded: Loaded,
        slots: int,
        cache_tokens: int,
        sampler: Sampler,
        paging: Paging,
        begin_segments: Segments | None = None,
        graphs: bool = False,
    ) -> None:
        store = paged_store(loaded, slots, cache_tokens, paging.page, paging.kernel)
        begun = loaded.module, store, begin_segments
        if not graphs or loaded.module.device.type != "cuda":
            self.graphs = "none: not asked for" if not graphs else "none: for CUDA alone"
            super().__init__(PackedForward(*begun), store, sampler)
            return
        forward = GraphedForward(*begun, slots)
        forward.capture()
        why_not = forward.why_not
        self.graphs = f"none: {why_not}" if why_not else f"decode steps of up to {slots} texts"
        super().__init__(forward, store, sampler)
