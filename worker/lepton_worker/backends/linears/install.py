"""From what was asked to a module with its kernels in place."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from lepton_worker.backends.linears.choose import (
    LARGEST_HALF,
    PACKED,
    Asked,
    Choice,
    Facts,
    Kind,
    Timings,
    choose_linear,
    may_round,
    needs_timings,
    speed_decides,
)
from lepton_worker.backends.linears.gate import Drift, drift, outputs
from lepton_worker.backends.linears.int8_routes import route_words
from lepton_worker.backends.linears.kernels import features
from lepton_worker.backends.linears.probe import time_kinds
from lepton_worker.backends.linears.replace import (
    Replaced,
    held_bytes,
    linears,
    make_kernel,
    put,
    replace_linears,
    trim,
    why_not,
)
from lepton_worker.backends.linears.siblings import siblings, watched
from lepton_worker.request import Task

HEAD_ADDS = 1.1
"""How many times as far off outputs may be with an int8 head, where they are far off without."""


@dataclass(frozen=True)
class Installed:
    """What was done, and why in a sentence for users; `drift` where it was measured, `timings`
    where the choice depends on them."""

    kind: Kind
    reason: str
    replaced: Replaced
    drift: Drift | None = None
    timings: Timings = field(default_factory=dict)


def install_linears(
    module: Any,
    asked: Asked,
    task: Task,
    checkpoint_dtype: str,
    later: bool = False,
    timings: Timings | None = None,
) -> Installed:
    """Choose kernels for a loaded module and put them in; raises nothing that is the machine's.

    Has to come before adapters are loaded. int8 and int4 spare heads that tell labels, and one that
    makes logits of a vocabulary where the outputs move too far with int8 there; where they do
    already without, int8 spares the layers that lead back from the wide part of each block. What is
    spared becomes float16. With `later`, float16 weights are left to be packed by `Packing`.
    `timings` are those of an earlier time, if there are any.
    """
    facts = look(module, asked, task, checkpoint_dtype)
    if needs_timings(asked, facts):
        able: list[Kind] = [kind for kind in candidates(asked, facts) if not why_not(kind)]
        facts = replace(facts, timings=timings or time_kinds(able))
    choice = choose_linear(asked, facts)
    if choice.kind == "int8" or choice.kind == "int4":
        return replace(_install_integers(module, choice, facts), timings=facts.timings)
    replaced = replace_linears(module, choice.kind, later=later)
    return Installed(choice.kind, choice.reason, replaced, timings=facts.timings)


def look(module: Any, asked: Asked, task: Task, checkpoint_dtype: str) -> Facts:
    """The facts of a module, without timings.

    Weights are read and operators tried only where the choice depends on them.
    """
    layers: list[Any] = [layer for _, layer in linears(module)]
    weights: list[Any] = [layer.weight.detach() for layer in layers]
    facts = Facts(
        weight_bytes=sum(item.numel() * 4 for item in weights),
        task=task,
        device=str(module.device),
        dtype_of_checkpoint=checkpoint_dtype,
        largest_weight_abs=0.0,
        operators_available={},
    )
    wanted = candidates(asked, facts)
    if {"float16", "int8", "int4"} & set(wanted):
        sizes = (largest(item) for item in weights if item.numel())
        facts = replace(facts, largest_weight_abs=max(sizes, default=0.0))
    return replace(facts, operators_available={kind: why_not(kind) for kind in wanted})


def largest(weight: torch.Tensor) -> float:
    """The largest absolute value, read once: `abs()` would write all of it anew."""
    low, high = torch.aminmax(weight)
    return max(-float(low), float(high))


def candidates(asked: Asked, facts: Facts) -> list[Kind]:
    """The kinds between which the speed decides, or the one that was asked for."""
    if asked != "auto" and asked != "none":
        return [asked]
    return [*may_round(asked, facts), PACKED] if speed_decides(facts) else []


def heads(module: Any) -> list[str]:
    """The names of the linear layers that make logits of states: those outside the base model."""
    prefix = module.base_model_prefix
    inside = f"{prefix}."
    output = module.get_output_embeddings()
    has_base = bool(prefix) and hasattr(module, prefix)
    return [
        name
        for name, layer in linears(module)
        if layer is output or (has_base and not name.startswith(inside))
    ]


def narrowing(module: Any, spared: list[str]) -> list[str]:
    """The down projections, from a wide part back to the states: their inputs have outliers."""
    width = module.config.get_text_config().hidden_size
    found = []
    for name, layer in linears(module):
        inputs, results = features(layer)
        if inputs > results == width and name not in spared:
            found.append(name)
    return found


def _install_integers(module: Any, choice: Choice, facts: Facts) -> Installed:
    """int8 or int4 with a look at the outputs before and after.

    The weights of the down projections are kept until that look, so the peak is above the end.
    What is left of the drift then is told, not judged: the kind was asked for.
    """
    before = held_bytes(module)
    with watched(list(linears(module))) as calls:
        reference = outputs(module)
    # For many rows, as encoders have, one product is as good as several.
    together = siblings(calls) if choice.kind == "int8" and facts.task is Task.GENERATE else []
    spared = heads(module)
    half = facts.largest_weight_abs <= LARGEST_HALF and not why_not("float16")
    names = narrowing(module, spared) if choice.kind == "int8" else []
    down = {name: module.get_submodule(name) for name in names}
    count = replace_linears(module, choice.kind, spared, together).count
    found = drift(reference, outputs(module))
    words = ""
    if down and not found.passes:
        words = f"; with int8 down projections they differed by {100 * found.error:.1f} %, "
        words += f"so those are {'float16' if half else 'float32'}"
        count -= _put_back(module, down, half)
        found = drift(reference, outputs(module))
    down.clear()
    found, head = _int8_head(module, reference, found)
    count += bool(head) + (replace_linears(module, "float16").count if half else 0)
    trim()
    replaced = Replaced(count, before, held_bytes(module))
    route = f", {route_words()}" if choice.kind == "int8" else ""
    reason = f"{choice.reason}{route}; {found}{head}{words}"
    return Installed(choice.kind, reason, replaced, found)


def _put_back(module: Any, layers: dict[str, Any], half: bool) -> int:
    """Take kernels away for float16 ones or for the layers; how many layers stay as loaded."""
    for name, layer in layers.items():
        put(module, name, make_kernel(layer, "float16") if half else layer)
    return 0 if half else len(layers)


def _int8_head(module: Any, reference: list[Any], body: Drift) -> tuple[Drift, str]:
    """int8 for the layer that makes logits, if the outputs bear it; the drift then, and words.

    It is the largest layer that a token passes: as float16 it takes as long as half of the others.
    """
    output = module.get_output_embeddings()
    names = [name for name, layer in linears(module) if layer is output]
    if not names or why_not("int8"):
        return body, ""
    put(module, names[0], make_kernel(output, "int8"))
    found = drift(reference, outputs(module))
    if found.passes or found.error <= HEAD_ADDS * body.error:
        return found, ", the head of the vocabulary in int8 included"
    put(module, names[0], output)
    return body, ""
