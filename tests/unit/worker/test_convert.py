"""Requests on the wire: every field that is out of bounds is named, all of them at once."""

import math
from typing import Any

import pytest

from lepton.v1 import generation_pb2, text_pb2
from lepton_worker.errors import InvalidRequest
from lepton_worker.request import Finish, FinishReason, Timing
from lepton_worker.serving import convert
from lepton_worker.tasks.generate import AskedSampling


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, []),
        ({"max_new_tokens": 1, "temperature": 0, "top_p": 1, "top_k": 0}, []),
        ({"max_new_tokens": 0}, ["sampling.max_new_tokens"]),
        ({"max_new_tokens": -4}, ["sampling.max_new_tokens"]),
        ({"temperature": -0.1}, ["sampling.temperature"]),
        ({"temperature": math.nan}, ["sampling.temperature"]),
        ({"temperature": math.inf}, ["sampling.temperature"]),
        ({"top_p": 0}, ["sampling.top_p"]),
        ({"top_p": 1.01}, ["sampling.top_p"]),
        ({"top_p": math.nan}, ["sampling.top_p"]),
        ({"top_k": -1}, ["sampling.top_k"]),
        ({"stop": ["x"] * 16}, []),
        ({"stop": ["x"] * 17}, ["sampling.stop"]),
        ({"stop": ["x", ""]}, ["sampling.stop[1]"]),
        ({"top_k": -1, "top_p": 2}, ["sampling.top_p", "sampling.top_k"]),
    ],
)
def test_sampling_bounds(fields: dict[str, Any], wrong: list[str]) -> None:
    message = generation_pb2.Sampling(**fields)
    assert [item.field for item in convert.sampling_violations(message)] == wrong


def test_only_what_was_sent_was_asked_for() -> None:
    assert convert.asked_sampling(generation_pb2.Sampling()) == AskedSampling()
    sent = generation_pb2.Sampling(temperature=0, seed=2**64 - 1, stop=["a"], ignore_eos=True)
    assert convert.asked_sampling(sent) == AskedSampling(
        temperature=0.0, seed=2**64 - 1, stop=("a",), ignore_eos=True
    )


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        (["a", "b"], []),
        ([], ["inputs"]),
        (["a", "", "c", ""], ["inputs[1]", "inputs[3]"]),
        (["a"] * 4097, ["inputs"]),
    ],
)
def test_input_bounds(inputs: list[str], wrong: list[str]) -> None:
    assert [item.field for item in convert.input_violations(inputs)] == wrong


def test_unknown_overflow_policies_are_refused() -> None:
    assert convert.overflow_violations(text_pb2.OVERFLOW_TRUNCATE) == []
    assert [item.field for item in convert.overflow_violations(9)] == ["overflow"]


def test_violations_become_one_error() -> None:
    convert.raise_for([])
    with pytest.raises(InvalidRequest, match="inputs: must have at least one text"):
        convert.raise_for(convert.input_violations([]))


def test_the_end_of_a_text_on_the_wire() -> None:
    value = Finish(FinishReason.DRAINED, 3, 2, Timing(0.5, 1.25, 2.0, 4))
    message = convert.finish(value).finish
    assert message.reason == generation_pb2.FINISH_REASON_DRAINED
    assert (message.usage.prompt_tokens, message.usage.output_tokens) == (3, 2)
    assert message.timing.first.ToMilliseconds() == 1250
    assert message.timing.batch_size == 4
    assert set(convert.REASONS) == set(FinishReason)
