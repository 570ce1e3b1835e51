"""One forward for many texts: their next tokens as one row, each with its own place and slot."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from lepton_worker.backends.native.stepping import Step, StepCache, running
from lepton_worker.backends.native.store import Store
from lepton_worker.backends.native.work import Work
from lepton_worker.errors import TaskNotSupported

__all__ = ["PackedForward", "Segments", "Work", "segments", "sound"]

Segments: TypeAlias = Callable[[list[tuple[str, int]], list[int] | None], None]
"""Told before each forward which adapter the packed row's next so many tokens use, in order, and
which of the tokens the head gets, None for all."""


class PackedForward:
    """Runs a module over packed rows; raises TaskNotSupported when its forward cannot take them."""

    def __init__(self, module: Any, store: Store, begin_segments: Segments | None = None) -> None:
        self._module = module
        self._device = module.device
        self._store = store
        self._cache = StepCache(store.layers)
        self._begin_segments = begin_segments
        self._checked = False
        accepted = inspect.signature(module.forward).parameters
        if not {"past_key_values", "position_ids"} <= set(accepted):
            raise TaskNotSupported(f"{type(module).__name__} takes no cache, or no positions")
        self._keeps = "logits_to_keep" in accepted
        config = module.config.get_text_config(decoder=True)
        self._heads = config.num_attention_heads
        self._stock = module.config._attn_implementation
        module.set_attn_implementation(store.attention)
        if config._attn_implementation != store.attention:
            self.close()
            raise TaskNotSupported(f"{type(module).__name__} has an attention of its own")

    def close(self) -> None:
        """Give the module its own attention back."""
        self._module.set_attn_implementation(self._stock)

    def run(self, works: Sequence[Work]) -> tuple[torch.Tensor, list[bool]]:
        """Logits [wanted rows, vocabulary] in float32, and for each work whether it is sound.

        `works` must be sorted: those of one token first, by slots within each adapter. Afterwards
        the slots know the tokens of the works; after an exception, no more than before.
        """
        wanted, total = _wanted(works), sum(work.count for work in works)
        # One at least, since not every head takes none.
        kept = (wanted or [total - 1]) if self._keeps and len(wanted) < total else None
        arguments: dict[str, Any] = {} if kept is None else {"logits_to_keep": self._tensor(kept)}
        if self._begin_segments is not None:
            self._begin_segments(segments(works), kept)
        step, ids, positions = self._step(works)
        with torch.inference_mode():
            logits = self._logits(step, ids, positions, arguments)
            if not self._keeps and len(wanted) < total:
                logits = logits[self._tensor(wanted)]
            logits = logits[: len(wanted)].float()
            fine = sound(works, logits, step.newest)
        for work in works:
            work.slot.known = work.end
        return logits, fine

    def _logits(
        self, step: Step, ids: torch.Tensor, positions: torch.Tensor, arguments: dict[str, Any]
    ) -> torch.Tensor:
        """The module's logits [rows, vocabulary] of one packed row."""
        self._cache.step = step
        with running(step):
            found: torch.Tensor = self._module(
                input_ids=ids[None],
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
                **arguments,
            ).logits[0]
        if step.attended != self._store.layers:
            raise TaskNotSupported("some layers have an attention of their own")
        self._checked = True
        return found

    def _step(self, works: Sequence[Work]) -> tuple[Step, torch.Tensor, torch.Tensor]:
        """The step, its tokens and their positions."""
        ids: list[int] = []
        positions: list[int] = []
        index: list[int] = []
        for work in works:
            ids += work.sequence.ids[work.start : work.end]
            ids += work.draft
            positions += range(work.start, work.end)
            index += self._store.rows(work.slot, work.start, work.end)
        table = self._tensor([ids, positions, index])
        step = self._store.step(works, table[2], self._heads, self._checked)
        return step, table[0], table[1]

    def _tensor(self, numbers: Any) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self._device)


def segments(works: Sequence[Work]) -> list[tuple[str, int]]:
    """Adapters with how many tokens of the packed row are theirs, in order, neighbours joined."""
    found: list[tuple[str, int]] = []
    for work in works:
        adapter, count = work.sequence.adapter, work.count
        if found and found[-1][0] == adapter:
            count += found.pop()[1]
        found.append((adapter, count))
    return found


def _wanted(works: Sequence[Work]) -> list[int]:
    """The places in the packed row whose logits are needed."""
    wanted: list[int] = []
    end = 0
    for work in works:
        end += work.count
        wanted += range(end - work.rows, end)
    return wanted


def sound(
    works: Sequence[Work],
    logits: torch.Tensor,
    newest: tuple[torch.Tensor, torch.Tensor] | None,
) -> list[bool]:
    """Which works are free of overflow: in their logits, and in what later tokens will read.

    What overflows anywhere in a token has reached its keys and values in the last layer, which are
    `newest`: [1, heads, tokens, size] each.
    """
    finite = torch.isfinite(logits.amax(-1)).tolist() if len(logits) else []
    found, row = [], 0
    for work in works:
        found.append(all(finite[row : row + work.rows]))
        row += work.rows
    if any(work.count > 1 or not work.rows for work in works) and newest is not None:
        # A sum in half precision may overflow where none of its numbers does.
        sums = [states[0].sum((0, 2), dtype=torch.float32) for states in newest]
        whole = torch.isfinite(sums[0] + sums[1]).tolist()
        end = 0
        for place, work in enumerate(works):
            found[place] &= all(whole[end : end + work.count])
            end += work.count
    return found
