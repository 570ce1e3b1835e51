"""Whether a decoder's texts are in slots or in pages, and why."""

from typing import Any

import torch

from lepton_worker.backends.base import Kv
from lepton_worker.backends.native import decoder_parity
from lepton_worker.backends.native.decoder_parity import Trial
from lepton_worker.backends.native.paged.decoder import Paging, pagings
from lepton_worker.backends.native.paged.pages import PageTable
from lepton_worker.backends.native.paged.store import PagedStore
from lepton_worker.backends.native.slots import LayerShape
from lepton_worker.backends.native.store import Store
from lepton_worker.backends.transformers.loading import Loaded
from lepton_worker.errors import InvalidSetting


def choose_paging(loaded: Loaded, asked: Kv) -> tuple[Paging | None, str]:
    """Pages, or None for slots; and why, in words for the user.

    Left to itself, pages on CUDA where they give the model's own logits: slots take a text's
    memory at its longest from the start there. On a CPU slots are faster, and cost nothing ahead.
    Raises InvalidSetting where pages are asked for and do not serve.
    """
    device = loaded.module.device
    if asked == "slots":
        return None, "slots: asked for"
    if asked == "auto" and not _left_to_itself(device):
        return None, "slots: faster than pages on a CPU"
    refusals = []
    for opened in pagings(device):
        try:
            paging = opened()
            refusal = check(loaded, paging)
        except ImportError as error:
            refusal = str(error)
        else:
            if refusal is None:
                said = f"pages of {paging.page} tokens, read by {paging.name}"
                return paging, f"{said}: same logits as stock transformers"
        refusals.append(refusal)
    refusal = "; ".join(map(str, refusals))
    if asked == "paged":
        raise InvalidSetting(
            f"LEPTON_KV=paged does not serve {loaded.facts.architecture}: {refusal}. "
            "LEPTON_KV=auto takes slots for it"
        )
    return None, f"slots: {refusal}"


def _left_to_itself(device: torch.device) -> bool:
    """Whether pages are tried without being asked for."""
    return device.type == "cuda"


def check(loaded: Loaded, paging: Paging) -> str | None:
    """None when pages give this model's logits, otherwise why they do not.

    One of the texts goes over the edge of a page, by a piece of its prompt.
    """

    def opened(module: Any, shapes: list[LayerShape], texts: int, tokens: int) -> Store:
        count = 1 + texts * -(-tokens // paging.page)
        table = PageTable(count, paging.page, texts, 1)
        return PagedStore(table, shapes, tokens, module.dtype, module.device, paging.kernel)

    trial = Trial((23, 5, paging.page + 40), (23, 5, paging.page - 3))
    return decoder_parity.check(loaded, opened, trial)


def memory_of(device: torch.device, limit: int | None, resident: int) -> tuple[int | None, int]:
    """Where state is kept: the most bytes that may be used, and how many are.

    `limit` and `resident` are the process's own, which count on a CPU.
    """
    if device.type != "cuda":
        return limit, resident
    free, total = torch.cuda.mem_get_info(device)
    return total, total - free
