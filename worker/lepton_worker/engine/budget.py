"""What a step may compute, and what of it was computed: backends may have a scheduler inside."""

from collections.abc import Sequence
from dataclasses import replace

from lepton_worker.backends.base import Progress
from lepton_worker.errors import RequestError
from lepton_worker.model import Model
from lepton_worker.scheduler.entries import NEIGHBOUR_FACTOR, Limits, Share

PREFILL_TOKENS = 256
"""Of a step in which texts go on, so that one long prompt does not hold all of them up."""

ALL_TOKENS = 2**30
"""A step that leaves nothing out: whoever schedules inside divides the work among its own steps."""


def limits_of(model: Model, neighbour_factor: float = NEIGHBOUR_FACTOR) -> Limits:
    """What the planner may hand to a model's backend at a time.

    Steps of a backend that schedules are not those that the planner could keep short.
    """
    factor = 0.0 if model.schedules else neighbour_factor
    step = ALL_TOKENS if model.schedules else model.step_tokens
    prefill = step if model.schedules else min(PREFILL_TOKENS, step)
    return Limits(model.slots, step, prefill, model.cache_tokens, factor)


def happened(share: Share, outcomes: Sequence[Progress | RequestError]) -> Share:
    """The share as it was computed, by what each of its spans led to."""
    spans, prefill, decode = [], share.prefill, share.decode
    for (entry, count), outcome in zip(share.spans, outcomes, strict=True):
        done = outcome.computed if isinstance(outcome, Progress) else None
        left = 0 if done is None else count - done
        prefill, decode = (prefill - left, decode) if count > 1 else (prefill, decode - left)
        spans.append((entry, count - left))
    return replace(share, spans=spans, prefill=prefill, decode=decode)
