"""What a graph asks for and gives, and how that serves a task: decided from names and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from lepton_worker.errors import TaskNotSupported
from lepton_worker.request import Task

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
INTEGERS: dict[str, Any] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16"}

LOGITS, STARTS, ENDS = "logits", "start_logits", "end_logits"
STATES = ("last_hidden_state", "token_embeddings")
POOLED = "sentence_embedding"
SUMMARY = "pooler_output"
"""The state of the first token behind one more layer: no embedding of a text."""

Form: TypeAlias = Literal["row", "tokens", "answer", "states"]
"""One vector a text; one a token; starts and ends of answers; states that are to be pooled."""

REMEDY = "export it with the head of its task, or choose backend auto"


@dataclass(frozen=True)
class Port:
    """One input or output; in `shape` a number is fixed, anything else is free."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Plan:
    """Inputs to feed with their types, outputs to ask for, and what these are."""

    inputs: dict[str, Any]
    outputs: tuple[str, ...]
    form: Form
    dtype: str

    @property
    def masked(self) -> bool:
        """Whether texts of unequal lengths may share a batch."""
        return MASK in self.inputs

    @property
    def typed(self) -> bool:
        """Whether segment numbers are fed."""
        return TYPES in self.inputs


def plan_graph(task: Task, inputs: Sequence[Port], outputs: Sequence[Port]) -> Plan:
    """How a graph serves a task of encoders; raises TaskNotSupported."""
    chosen, form = _outputs(task, outputs)
    kinds = {port.type for port in chosen}
    if len(kinds) != 1 or not kinds <= FLOATS.keys():
        raise TaskNotSupported(
            f"the graph's outputs are {' and '.join(sorted(kinds))}; "
            f"served are {' and '.join(FLOATS)}"
        )
    names = tuple(port.name for port in chosen)
    return Plan(_inputs(inputs), names, form, FLOATS[kinds.pop()])


def _inputs(ports: Sequence[Port]) -> dict[str, Any]:
    known = (IDS, MASK, TYPES)
    strange = [port.name for port in ports if port.name not in known]
    if strange or IDS not in {port.name for port in ports}:
        asked = ", ".join(port.name for port in ports)
        raise TaskNotSupported(f"the graph asks for {asked}; fed are {', '.join(known)}")
    for port in ports:
        if port.type not in INTEGERS:
            raise TaskNotSupported(f"the graph takes {port.name} as {port.type}, not as integers")
        if any(isinstance(size, int) for size in port.shape):
            raise TaskNotSupported(
                f"the graph takes {port.name} in the fixed shape {list(port.shape)}: "
                "export it with free axes for batch and sequence"
            )
    return {port.name: INTEGERS[port.type] for port in ports}


def _outputs(task: Task, ports: Sequence[Port]) -> tuple[tuple[Port, ...], Form]:
    named = {port.name: port for port in ports}
    if task is Task.EMBED:
        return _embedding(ports, named)
    if task is Task.ANSWER:
        if STARTS in named and ENDS in named:
            return (named[STARTS], named[ENDS]), "answer"
        if len(ports) >= 2 and _is_flat(ports[0]) and _is_flat(ports[1]):
            return (ports[0], ports[1]), "answer"
        raise _lacking(task, f"{STARTS} and {ENDS}", ports)
    dimensions = 2 if task is Task.CLASSIFY else 3
    logits = named.get(LOGITS)
    if logits is None and ports and ports[0].name not in (*STATES, POOLED, SUMMARY):
        logits = ports[0]
    if logits is None or len(logits.shape) not in (0, dimensions):
        raise _lacking(task, f"{LOGITS} with {dimensions} axes", ports)
    return (logits,), "row" if task is Task.CLASSIFY else "tokens"


def _embedding(ports: Sequence[Port], named: dict[str, Port]) -> tuple[tuple[Port, ...], Form]:
    """A graph that pools by itself is taken at its word: it may do more than pool."""
    if POOLED in named:
        return (named[POOLED],), "row"
    for name in STATES:
        if name in named:
            return (named[name],), "states"
    heads = (LOGITS, STARTS, ENDS, SUMMARY)
    others = [port for port in ports if port.name not in heads]
    forms: tuple[tuple[int, Form], ...] = ((3, "states"), (2, "row"))
    for axes, form in forms:
        for port in others:
            if len(port.shape) == axes:
                return (port,), form
    raise _lacking(Task.EMBED, f"{STATES[0]} or {POOLED}", ports)


def _is_flat(port: Port) -> bool:
    return len(port.shape) == 2 and port.name not in (POOLED, SUMMARY)


def _lacking(task: Task, wanted: str, ports: Sequence[Port]) -> TaskNotSupported:
    given = ", ".join(f"{port.name} {list(port.shape)}" for port in ports)
    return TaskNotSupported(
        f"task {task} needs {wanted}, and the graph gives {given or 'nothing'}: {REMEDY}"
    )
