"""Which kind of linear kernel a model gets, and the sentence that says why.

Pure: what the machine and the model are like comes in as `Facts`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

from lepton_worker.backends.base import Quantization
from lepton_worker.request import Task

Asked: TypeAlias = Quantization
Kind: TypeAlias = Literal["none", "float32-packed", "float16", "int8", "int4", "bfloat16"]
"""How the weights of linear layers are kept; `none` leaves them as they were loaded."""
Timings: TypeAlias = Mapping[str, Mapping[int, float]]
"""Seconds per call, by kind ("float32" is the layer as loaded) and number of rows."""

PACKED: Literal["float32-packed"] = "float32-packed"
AUTO_FROM = 64 * 2**20
"""Bytes of float32 weights from which `auto` acts: smaller ones stay in the caches of the CPU."""
LARGEST_HALF = 65504.0
SHOWN_ROWS = 4
CLEARLY = 1.2
"""How many times as fast as packed float32 float16 has to be for `auto` to round weights."""
WORTH_IT = 1.05
"""How many times as fast as float32 a kernel has to be for `auto`: less is within the noise."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on.

    `weight_bytes` are those of the linear layers as float32. `device` and `dtype_of_checkpoint` are
    written as users write them. `operators_available` has an empty text for each kind that the
    machine can run, else the reason. `timings` may be empty where `needs_timings` says no.
    """

    weight_bytes: int
    task: Task
    device: str
    dtype_of_checkpoint: str
    largest_weight_abs: float
    operators_available: Mapping[str, str]
    timings: Timings = field(default_factory=dict)


class Choice(NamedTuple):
    """The kind, and the reason in a sentence for users."""

    kind: Kind
    reason: str


def choose_linear(asked: Asked, facts: Facts) -> Choice:
    """The kind of kernel to use.

    `auto` rounds the weights of decoders where that was measured to be clearly faster than float32,
    packed or not: to float16, or to bfloat16 where the checkpoint stores that itself. int8 and int4
    have to be asked for. `auto` and `none` pack float32 where that is faster. What cannot be done
    falls back to `none`, in words.
    """
    settled = _without_timings(asked, facts)
    if settled is not None:
        return settled
    if asked == "auto" or asked == "none":
        return _fastest(asked, facts)
    if asked not in facts.timings:
        return Choice(asked, f"{asked} weights: asked for")
    ratios = speed_up(facts.timings, asked)
    sentence = speed_sentence(asked, ratios)
    if asked == "bfloat16" and _mean(ratios) < 1:
        return Choice("none", f"float32 weights, for this CPU is slow with bfloat16: {sentence}")
    return Choice(asked, sentence + _rounding(asked, facts))


def speed_decides(facts: Facts) -> bool:
    """Whether other kernels could make a model of this kind faster here at all."""
    return _auto(facts) is None and facts.device.startswith("cpu")


def may_round(asked: Asked, facts: Facts) -> list[Kind]:
    """The shorter formats that are to be tried without being asked for."""
    kinds: list[Kind] = []
    if asked == "auto" and facts.largest_weight_abs <= LARGEST_HALF:
        kinds.append("float16")
    if asked == "auto" and facts.dtype_of_checkpoint == "bfloat16":
        kinds.append("bfloat16")
    return kinds


def _fastest(asked: Asked, facts: Facts) -> Choice:
    """Of float32, packed float32 and what may be rounded to."""
    packed = _packed(facts)
    bound = CLEARLY * _mean(speed_up(facts.timings, PACKED)) if packed else WORTH_IT
    rounded = [kind for kind in may_round(asked, facts) if kind in facts.timings]
    best = max(rounded, key=lambda kind: _mean(speed_up(facts.timings, kind)), default=None)
    if best is not None and _mean(speed_up(facts.timings, best)) >= bound:
        sentence = speed_sentence(best, speed_up(facts.timings, best))
        return Choice(best, sentence + _rounding(best, facts))
    if packed is not None:
        return packed
    tried = [speed_sentence(kind, speed_up(facts.timings, kind)) for kind in rounded]
    return Choice("none", ": ".join(["float32 weights, for nothing is gained", *tried]))


def needs_timings(asked: Asked, facts: Facts) -> bool:
    """Whether the choice depends on how fast the kernels are here."""
    return _without_timings(asked, replace(facts, timings={})) is None


def speed_up(timings: Timings, kind: str) -> dict[int, float]:
    """How many times as fast as float32 a kind is, by number of rows."""
    return {
        rows: timings["float32"][rows] / seconds
        for rows, seconds in timings[kind].items()
        if seconds > 0
    }


def speed_sentence(kind: str, ratios: Mapping[int, float]) -> str:
    """The measured ratios in words."""
    others = ", ".join(f"{ratios[rows]:.1f} with {rows}" for rows in ratios if rows != SHOWN_ROWS)
    first = f"{ratios[SHOWN_ROWS]:.1f} times as fast as float32 with {SHOWN_ROWS} rows"
    return f"{kind} weights: {first} ({others})"


def _without_timings(asked: Asked, facts: Facts) -> Choice | None:
    """The choice where the machine's speed does not matter."""
    packable = facts.operators_available.get(PACKED) == ""
    worth_packing = packable and speed_decides(facts)
    if asked == "none":
        return None if worth_packing else Choice("none", "weights as loaded: asked for")
    if not facts.device.startswith("cpu"):
        return Choice("none", f"weights as loaded: packed ones are for the CPU, not {facts.device}")
    if asked == "auto":
        return _auto(facts) or (None if worth_packing else _impossible("float16", facts))
    return _impossible(asked, facts)


def _packed(facts: Facts) -> Choice | None:
    """Packed float32 weights, where they were measured to be faster."""
    if PACKED not in facts.timings:
        return None
    ratios = speed_up(facts.timings, PACKED)
    if _mean(ratios) < WORTH_IT:
        return None
    return Choice(PACKED, f"{speed_sentence(PACKED, ratios)}; no weight is rounded")


def _auto(facts: Facts) -> Choice | None:
    if facts.task is not Task.GENERATE:
        return Choice("none", "float32 weights: an encoder gains nothing from shorter ones")
    if facts.weight_bytes < AUTO_FROM:
        size = f"{facts.weight_bytes / 2**20:.0f} MiB"
        return Choice("none", f"float32 weights: with {size} the model is small")
    return None


def _impossible(kind: str, facts: Facts) -> Choice | None:
    fault = facts.operators_available.get(kind, f"{kind} weights are not known here")
    if fault:
        return Choice("none", f"float32 weights, for {fault}")
    if kind == "float16" and not facts.largest_weight_abs <= LARGEST_HALF:
        largest = f"{facts.largest_weight_abs:.3g}"
        return Choice("none", f"float32 weights, for one of {largest} is beyond float16's 65504")
    return None


def _rounding(kind: str, facts: Facts) -> str:
    """What happens to the numbers, where it is worth a word."""
    stored = facts.dtype_of_checkpoint
    if kind == stored:
        return f"; the checkpoint stores {stored}, so no weight is rounded"
    return f"; weights are rounded to {kind}"


def _mean(ratios: Mapping[int, float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, ratios.values())) / len(ratios))
