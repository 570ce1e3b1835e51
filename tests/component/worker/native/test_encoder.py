"""What an input is answered does not depend on what is computed beside it."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from lepton_testing.encoders import LONGEST, build, far, order, pooling, stock, texts
from lepton_worker.backends.base import EncodeInput
from lepton_worker.backends.native.grouped import GroupedEncoder
from lepton_worker.backends.native.padded import SortedEncoder
from lepton_worker.backends.native.parity import choose_encoder
from lepton_worker.errors import DeviceLost, InternalError, InvalidRequest, OutOfMemory
from lepton_worker.request import Task, Tokens

pytestmark = pytest.mark.component

CLOSE = 1e-5
TOO_LONG = texts(LONGEST + 20)[0]
"""More tokens than the models have positions: their forward raises."""
PACKED_AND_PADDED = ("Bert", "DebertaV2")


def chosen(name: str, task: Task) -> GroupedEncoder:
    return choose_encoder(build(name, task), pooling(task), order(task))[0]


def numbers(answer: Any) -> torch.Tensor:
    assert isinstance(answer, torch.Tensor), answer
    return answer


class Watched:
    """Inputs of each forward of an encoder."""

    def __init__(self, encoder: GroupedEncoder) -> None:
        self.forwards: list[list[int]] = []
        compute = encoder.compute

        def watch(inputs: list[Tokens], adapters: list[str]) -> list[torch.Tensor]:
            self.forwards.append([len(tokens) for tokens in inputs])
            return compute(inputs, adapters)

        encoder.compute = watch  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("name", PACKED_AND_PADDED)
@pytest.mark.parametrize("task", [Task.EMBED, Task.TAG])
def test_neighbours_change_nothing(name: str, task: Task) -> None:
    loaded = build(name, task)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, pooling(task), order(task))
    (text,) = texts(11, seed=9)
    right = says(text)
    for seed in range(8):
        others = texts(11, 3, 11, 1 + 7 * seed, seed=seed)
        place = seed % 5
        inputs = [*others[:place], text, *others[place:]]
        assert far(numbers(encoder.forward(inputs)[place]), right) <= CLOSE


@pytest.mark.parametrize(
    ("lengths", "forwards"),
    [
        ([30, 34], [[30, 34]]),
        ([30, 35], [[30], [35]]),
        ([60, 4], [[4, 60]]),
        ([60, 4, 1], [[1, 4], [60]]),
        ([8] * 9, [[8] * 8, [8]]),
    ],
    ids=["full", "one-over", "full-by-length", "long-alone", "equal"],
)
def test_a_row_takes_up_to_the_budget(lengths: list[int], forwards: list[list[int]]) -> None:
    loaded = build("Bert", Task.CLASSIFY)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY, step_tokens=64))
    watched = Watched(encoder)
    inputs = texts(*lengths)
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert far(numbers(answer), says(tokens)) <= CLOSE
    assert watched.forwards == forwards


def test_an_input_over_the_budget_is_computed_alone() -> None:
    loaded = build("Bert", Task.TAG)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.TAG, step_tokens=16))
    inputs = texts(4, 50, 4)
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert far(numbers(answer), says(tokens)) <= CLOSE


def test_no_inputs_no_answers() -> None:
    encoder = chosen("Bert", Task.CLASSIFY)
    assert encoder.forward([]) == []
    assert encoder.encode([]) == []


@pytest.mark.parametrize("name", PACKED_AND_PADDED)
def test_an_input_that_makes_the_model_raise_fails_alone(name: str) -> None:
    loaded = build(name, Task.CLASSIFY)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY))
    good = texts(5, 9, 60)
    unknown = Tokens((9, 10**6, 9, 9, 9))
    answers = encoder.forward([good[0], unknown, good[1], TOO_LONG, good[2], Tokens(())])
    errors = [type(answers[place]) for place in (1, 3, 5)]
    assert errors == [InternalError, InternalError, InvalidRequest]
    for tokens, place in zip(good, (0, 2, 4), strict=True):
        assert far(numbers(answers[place]), says(tokens)) <= CLOSE


def test_numbers_that_are_not_finite_are_an_error_of_that_input_alone() -> None:
    loaded = build("Bert", Task.TAG)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.TAG))
    with torch.no_grad():
        loaded.module.get_input_embeddings().weight[3] = float("nan")
    good = texts(6, 6, 12)
    answers = encoder.forward([good[0], Tokens((8, 3, 8)), *good[1:]])
    assert isinstance(answers[1], InternalError)
    assert answers[1].message == "the model answers with numbers that are not finite"
    for tokens, place in zip(good, (0, 2, 3), strict=True):
        assert far(numbers(answers[place]), says(tokens)) <= CLOSE


def test_inputs_that_do_not_fit_into_memory_together_are_computed_one_by_one() -> None:
    loaded = build("Bert", Task.CLASSIFY)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY))
    compute = encoder.compute

    def small(inputs: list[Tokens], adapters: list[str]) -> list[torch.Tensor]:
        if sum(map(len, inputs)) > 20:
            raise torch.OutOfMemoryError("no room")
        return compute(inputs, adapters)

    encoder.compute = small  # type: ignore[method-assign,assignment]
    inputs = texts(15, 16, 21)
    answers = encoder.forward(inputs)
    assert isinstance(answers[2], OutOfMemory)
    for tokens, answer in zip(inputs[:2], answers[:2], strict=True):
        assert far(numbers(answer), says(tokens)) <= CLOSE


def test_a_lost_device_is_asked_once_for_a_group() -> None:
    encoder = chosen("Bert", Task.CLASSIFY)
    asked = []

    def lost(inputs: list[Tokens], adapters: list[str]) -> list[torch.Tensor]:
        asked.append(len(inputs))
        raise torch.AcceleratorError("device-side assert triggered")

    encoder.compute = lost  # type: ignore[method-assign,assignment]
    answers = encoder.forward(texts(4, 5, 6))
    assert [type(answer) for answer in answers] == [DeviceLost] * 3
    assert asked == [3]


@pytest.mark.parametrize(
    ("task", "shapes"),
    [
        (Task.EMBED, [(32,), (32,)]),
        (Task.CLASSIFY, [(3,), (3,)]),
        (Task.TAG, [(9, 3), (4, 3)]),
        (Task.ANSWER, [(9, 2), (4, 2)]),
    ],
)
@pytest.mark.parametrize("name", PACKED_AND_PADDED)
def test_vectors_are_float32_arrays(name: str, task: Task, shapes: list[tuple[int, ...]]) -> None:
    loaded = build(name, task)
    loaded.module.to(torch.bfloat16)
    encoder, _ = choose_encoder(loaded, pooling(task), order(task))
    vectors = encoder.encode([EncodeInput(tokens) for tokens in texts(9, 4)])
    for vector, shape in zip(vectors, shapes, strict=True):
        assert isinstance(vector, np.ndarray)
        assert vector.dtype == np.float32
        assert vector.shape == shape


def test_shorter_dtypes_run_packed_too() -> None:
    loaded = build("Bert", Task.EMBED)
    loaded.module.to(torch.bfloat16)
    _, reason = choose_encoder(loaded, pooling(Task.EMBED), order(Task.EMBED))
    assert reason == "packed: same numbers as one by one"


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (Task.EMBED, [[("b", 3), ("a", 5), ("", 8)]]),
        (Task.TAG, [[("b", 3), ("a", 5), ("", 8)]] * 2),
        (Task.CLASSIFY, [[("b", 3), ("a", 5), ("", 8)], [("b", 1), ("a", 1), ("", 1)]]),
    ],
)
def test_rows_are_announced_with_their_adapters(
    task: Task, told: list[list[tuple[str, int]]]
) -> None:
    encoder = chosen("Bert", task)
    heard: list[list[tuple[str, int]]] = []
    encoder.begin_segments = heard.append
    five, eight, three = texts(5, 8, 3)
    encoder.encode([EncodeInput(five, "a"), EncodeInput(eight), EncodeInput(three, "b")])
    assert heard == told


def test_heads_on_whole_texts_announce_one_text_at_a_time() -> None:
    encoder = chosen("ModernBertMean", Task.CLASSIFY)
    heard: list[list[tuple[str, int]]] = []
    encoder.begin_segments = heard.append
    five, three = texts(5, 3)
    encoder.encode([EncodeInput(five, "a"), EncodeInput(three, "b")])
    assert heard == [[("b", 3), ("a", 5)], [("b", 3)], [("a", 5)]]


def test_padded_groups_have_one_adapter() -> None:
    encoder = chosen("DebertaV2", Task.CLASSIFY)
    heard: list[list[tuple[str, int]]] = []
    encoder.begin_segments = heard.append
    nine, ten, other = texts(9, 10, 10)
    encoder.encode([EncodeInput(nine, "a"), EncodeInput(other, "b"), EncodeInput(ten, "a")])
    assert sorted(heard) == [[("a", 20)], [("b", 10)]]


def test_decoders_without_a_padding_token_share_batches_of_one_length_only() -> None:
    loaded = build("Gemma2", Task.EMBED, pad_token_id=None, num_key_value_heads=2, head_dim=8)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, pooling(Task.EMBED), order(Task.EMBED))
    assert isinstance(encoder, SortedEncoder)
    watched = Watched(encoder)
    inputs = texts(9, 10, 9)
    for tokens, answer in zip(inputs, encoder.forward(inputs), strict=True):
        assert far(numbers(answer), says(tokens)) <= CLOSE
    assert sorted(watched.forwards) == [[9, 9], [10]]


@pytest.mark.parametrize("name", PACKED_AND_PADDED)
def test_the_budget_is_tuned_to_one_that_was_tried(name: str) -> None:
    loaded = build(name, Task.CLASSIFY)
    says = stock(loaded)
    encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY))
    assert encoder.tune_budget(seconds=0.0) == 256 == encoder.budget
    assert encoder.tune_budget(seconds=0.05) in (256, 512, 1024, 2048, 4096)
    (tokens,) = texts(12)
    assert far(numbers(encoder.forward([tokens])[0]), says(tokens)) <= CLOSE


def test_two_models_in_two_threads_do_not_meet() -> None:
    both = []
    for name in ("Bert", "Roberta"):
        loaded = build(name, Task.CLASSIFY)
        says = stock(loaded)
        inputs = texts(9, 4, 17)
        expected = [says(tokens) for tokens in inputs]
        encoder, _ = choose_encoder(loaded, None, order(Task.CLASSIFY))
        both.append((encoder, inputs, expected))
    worst: list[float] = []

    def work(encoder: GroupedEncoder, inputs: list[Tokens], expected: list[torch.Tensor]) -> None:
        for _ in range(20):
            answers = encoder.forward(inputs)
            worst.extend(far(numbers(a), b) for a, b in zip(answers, expected, strict=True))

    threads = [threading.Thread(target=work, args=item) for item in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(worst) == 120
    assert max(worst) <= CLOSE
