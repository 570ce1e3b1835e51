"""How the names and shapes of a graph serve a task."""

from typing import Any

import numpy as np
import pytest

from lepton_worker.backends.onnx.graph import Port, plan_graph
from lepton_worker.errors import TaskNotSupported
from lepton_worker.request import Task

FREE = ("batch", "sequence")
IDS, MASK, TYPES = (
    Port(name, "tensor(int64)", FREE) for name in ("input_ids", "attention_mask", "token_type_ids")
)


def output(name: str, *shape: int | str | None, kind: str = "tensor(float)") -> Port:
    return Port(name, kind, shape)


STATES = output("last_hidden_state", "batch", "sequence", 8)
POOLER = output("pooler_output", "batch", 8)
SENTENCE = output("sentence_embedding", "batch", 8)
ROW, COLUMN = output("logits", "batch", 3), output("logits", "batch", "sequence", 3)
STARTS, ENDS = output("start_logits", *FREE), output("end_logits", *FREE)


@pytest.mark.parametrize(
    ("task", "outputs", "names", "form"),
    [
        (Task.CLASSIFY, [ROW], ("logits",), "row"),
        (Task.CLASSIFY, [STATES, ROW], ("logits",), "row"),
        (Task.CLASSIFY, [output("scores", None, 2)], ("scores",), "row"),
        (Task.TAG, [COLUMN], ("logits",), "tokens"),
        (Task.TAG, [output("out", None, None, 5), STATES], ("out",), "tokens"),
        (Task.ANSWER, [ENDS, STARTS], ("start_logits", "end_logits"), "answer"),
        (Task.ANSWER, [output("a", *FREE), output("b", *FREE)], ("a", "b"), "answer"),
        (Task.EMBED, [STATES, POOLER], ("last_hidden_state",), "states"),
        (Task.EMBED, [POOLER, output("x", *FREE, 8)], ("x",), "states"),
        (
            Task.EMBED,
            [output("token_embeddings", *FREE, 8), SENTENCE],
            ("sentence_embedding",),
            "row",
        ),
        (Task.EMBED, [output("vector", "batch", 8)], ("vector",), "row"),
    ],
)
def test_outputs_are_found_by_name_and_then_by_order(
    task: Task, outputs: list[Port], names: tuple[str, ...], form: str
) -> None:
    plan = plan_graph(task, [IDS, MASK], outputs)
    assert (plan.outputs, plan.form, plan.dtype) == (names, form, "float32")


@pytest.mark.parametrize(
    ("task", "outputs", "needed"),
    [
        (Task.CLASSIFY, [STATES, POOLER], "logits with 2 axes"),
        (Task.CLASSIFY, [COLUMN], "logits with 2 axes"),
        (Task.TAG, [ROW], "logits with 3 axes"),
        (Task.TAG, [], "the graph gives nothing"),
        (Task.ANSWER, [ROW], "start_logits and end_logits"),
        (Task.ANSWER, [STATES, POOLER], "start_logits and end_logits"),
        (Task.EMBED, [POOLER], "last_hidden_state or sentence_embedding"),
        (Task.EMBED, [COLUMN], r"the graph gives logits \['batch', 'sequence', 3\]"),
    ],
)
def test_a_graph_without_the_head_is_refused(task: Task, outputs: list[Port], needed: str) -> None:
    with pytest.raises(TaskNotSupported, match=needed):
        plan_graph(task, [IDS, MASK], outputs)


@pytest.mark.parametrize(
    ("inputs", "kinds", "masked", "typed"),
    [
        ([IDS], {"input_ids": np.int64}, False, False),
        ([IDS, MASK], {"input_ids": np.int64, "attention_mask": np.int64}, True, False),
        (
            [Port("input_ids", "tensor(int32)", FREE), TYPES, MASK],
            {"input_ids": np.int32, "token_type_ids": np.int64, "attention_mask": np.int64},
            True,
            True,
        ),
    ],
)
def test_only_what_the_graph_asks_for_is_fed_and_in_its_type(
    inputs: list[Port], kinds: dict[str, Any], masked: bool, typed: bool
) -> None:
    plan = plan_graph(Task.CLASSIFY, inputs, [ROW])
    assert (plan.inputs, plan.masked, plan.typed) == (kinds, masked, typed)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([Port("pixel_values", "tensor(float)", FREE)], [ROW], "asks for pixel_values; fed are"),
        ([IDS, Port("position_ids", "tensor(int64)", FREE)], [ROW], "input_ids, position_ids"),
        ([MASK], [ROW], "asks for attention_mask"),
        ([Port("input_ids", "tensor(float)", FREE)], [ROW], r"as tensor\(float\), not as integers"),
        ([Port("input_ids", "tensor(int64)", (1, "s"))], [ROW], "export it with free axes"),
        ([IDS], [output("logits", 1, 3, kind="tensor(double)")], r"outputs are tensor\(double\)"),
        (
            [IDS],
            [output("logits", 1, 3, kind="tensor(uint8)"), STATES],
            r"outputs are tensor\(uint8\)",
        ),
    ],
)
def test_a_graph_that_cannot_be_fed_or_read_is_refused(
    inputs: list[Port], outputs: list[Port], words: str
) -> None:
    with pytest.raises(TaskNotSupported, match=words):
        plan_graph(Task.CLASSIFY, inputs, outputs)


def test_short_floats_are_named() -> None:
    half = output("logits", "batch", 3, kind="tensor(float16)")
    assert plan_graph(Task.CLASSIFY, [IDS], [half]).dtype == "float16"
