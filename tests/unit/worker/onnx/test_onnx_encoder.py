"""Batches of a graph: a made-up one, whose states are its tokens' numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lepton_worker.backends.base import EncodeInput
from lepton_worker.backends.onnx.encoder import TRIALS, OnnxEncoder
from lepton_worker.backends.onnx.graph import Form, Plan
from lepton_worker.backends.onnx.pooling import MODES, pool
from lepton_worker.errors import (
    DeviceLost,
    InternalError,
    InvalidRequest,
    RequestError,
)
from lepton_worker.request import Tokens, Vector

INPUTS = {"input_ids": np.int64, "attention_mask": np.int32, "token_type_ids": np.int64}
BAD, LOST, INFINITE, PADDING = 66, 77, 88, 9


class Graph:
    """States [batch, width, 2]: number and segment of each token; notes what it was fed."""

    def __init__(self, form: Form = "states", scaled: bool = False) -> None:
        self.form, self.scaled = form, scaled
        self.fed: list[dict[str, Any]] = []

    def run(self, outputs: tuple[str, ...], feeds: dict[str, Any]) -> list[Vector]:
        self.fed.append(feeds)
        ids = feeds["input_ids"].astype(np.float32)
        if (ids == LOST).any():
            raise RuntimeError("CUDA failure 700: illegal")
        if (ids == BAD).any():
            raise RuntimeError("indices element out of data bounds")
        ids[ids == INFINITE] = np.inf
        if self.scaled:
            ids = ids / ids.max()
        segments = feeds.get("token_type_ids", ids).astype(np.float32)
        states = np.stack([ids, segments], axis=-1)
        if self.form == "row":
            return [states[:, 0]]
        if self.form == "answer":
            return [states[..., 0], states[..., 1]]
        return [states]


def an_encoder(graph: Graph, *names: str, modes: tuple[str, ...] = ("mean",)) -> OnnxEncoder:
    kinds = {name: INPUTS[name] for name in names or INPUTS}
    return OnnxEncoder(graph.run, Plan(kinds, ("x",), graph.form, "float32"), modes, PADDING)


def inputs(*ids: Sequence[int]) -> list[EncodeInput]:
    return [EncodeInput(Tokens(tuple(one), tuple(range(len(one))))) for one in ids]


def numbers(answer: Vector | RequestError) -> Any:
    assert isinstance(answer, np.ndarray), answer
    assert answer.dtype == np.float32
    return answer.tolist()


def test_inputs_are_padded_and_masked_in_the_graphs_types() -> None:
    graph = Graph("tokens")
    encoder = an_encoder(graph)
    long, short = list(range(10, 20)), list(range(30, 39))
    first, second = encoder.encode(inputs(long, short))
    assert numbers(first) == [[number, place] for place, number in enumerate(long)]
    assert numbers(second) == [[number, place] for place, number in enumerate(short)]
    (feeds,) = graph.fed
    assert feeds["input_ids"].tolist() == [[*short, PADDING], long]
    assert feeds["attention_mask"].tolist() == [[1] * 9 + [0], [1] * 10]
    assert feeds["attention_mask"].dtype == np.int32
    assert feeds["token_type_ids"].tolist() == [[*range(9), 0], [*range(10)]]


def test_groups_keep_to_the_budget_and_have_little_padding() -> None:
    graph = Graph()
    encoder = an_encoder(graph)
    encoder.budget = 40
    encoder.encode(inputs(*([1] * length for length in (20, 3, 19, 50, 20, 3))))
    assert [feeds["input_ids"].shape for feeds in graph.fed] == [(2, 3), (2, 20), (1, 20), (1, 50)]


def test_without_a_mask_only_equal_lengths_share_a_forward() -> None:
    graph = Graph()
    an_encoder(graph, "input_ids").encode(inputs([1] * 9, [1] * 10, [2] * 9))
    assert sorted(feeds["input_ids"].shape for feeds in graph.fed) == [(1, 10), (2, 9)]
    assert all(feeds.keys() == {"input_ids"} for feeds in graph.fed)


def test_inputs_without_segments_get_zeros() -> None:
    graph = Graph()
    an_encoder(graph).encode([EncodeInput(Tokens((1, 2)))])
    assert graph.fed[0]["token_type_ids"].tolist() == [[0, 0]]


def test_one_guilty_input_fails_alone() -> None:
    answers = an_encoder(Graph()).encode(inputs([1, 2], [BAD, 2], [], [3, 5], [INFINITE, 1]))
    assert numbers(answers[0]) == [1.5, 0.5]
    assert numbers(answers[3]) == [4.0, 0.5]
    assert [type(answers[place]) for place in (1, 2, 4)] == [
        InternalError,
        InvalidRequest,
        InternalError,
    ]
    infinite = answers[4]
    assert isinstance(infinite, RequestError)
    assert infinite.message == "the model answers with numbers that are not finite"


def test_a_lost_device_is_not_asked_again() -> None:
    graph = Graph()
    answers = an_encoder(graph).encode(inputs([LOST, 2], [3, 4], [5, 6]))
    assert {type(answer) for answer in answers} == {DeviceLost}
    assert len(graph.fed) == 2


def test_starts_and_ends_are_side_by_side() -> None:
    (answer,) = an_encoder(Graph("answer")).encode(inputs([4, 5, 6]))
    assert numbers(answer) == [[4, 0], [5, 1], [6, 2]]


@pytest.mark.parametrize("names", [("input_ids", "attention_mask"), ("input_ids",)])
def test_batches_are_kept_where_neighbours_change_nothing(names: tuple[str, ...]) -> None:
    encoder = an_encoder(Graph(), *names)
    reason, answer = encoder.settle_batches(longest=64, vocabulary=50)
    assert not encoder.alone
    assert "same numbers as one by one" in reason
    assert answer.shape == (2,)


def test_inputs_run_one_by_one_where_a_batch_has_one_scale() -> None:
    graph = Graph(scaled=True)
    encoder = an_encoder(graph)
    reason, _ = encoder.settle_batches(longest=64, vocabulary=50)
    assert reason.startswith("one by one: neighbours change answers by")
    graph.fed.clear()
    encoder.encode(inputs([1, 2], [3, 4]))
    assert [feeds["input_ids"].shape for feeds in graph.fed] == [(1, 2), (1, 2)]


def test_trials_keep_to_the_models_bounds() -> None:
    graph = Graph()
    encoder = an_encoder(graph)
    encoder.settle_batches(longest=4, vocabulary=3)
    assert all(feeds["input_ids"].shape[1] <= 4 for feeds in graph.fed)
    assert all(set(feeds["input_ids"].flat) <= {0, 1, 2, PADDING} for feeds in graph.fed)


def test_the_budget_is_one_that_was_tried() -> None:
    encoder = an_encoder(Graph())
    assert encoder.tune_budget(64, seconds=0.0) == TRIALS[0] == encoder.budget
    assert encoder.tune_budget(64, seconds=0.05) in TRIALS


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("cls", [1, 6]),
        ("mean", [2, 3]),
        ("max", [3, 6]),
        ("mean_sqrt_len", [6 / 3**0.5, 9 / 3**0.5]),
        ("weightedmean", [14 / 6, 13 / 6]),
        ("lasttoken", [3, 1]),
    ],
)
def test_pooling(mode: str, expected: list[float]) -> None:
    states = np.array([[1, 6], [2, 2], [3, 1]], np.float32)
    assert pool(states, (mode,)) == pytest.approx(expected)
    assert pool(states, (mode, "cls")).tolist()[2:] == [1, 6]
    assert mode in MODES
