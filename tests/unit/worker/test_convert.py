"""Requests on the wire: every field that is out of bounds is named, all of them at once."""

import pytest

from lepton.v1 import text_pb2
from lepton_worker.errors import InvalidRequest
from lepton_worker.request import Timing
from lepton_worker.serving import convert


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


def test_times_are_exact_and_never_negative() -> None:
    message = convert.timing(Timing(0.5, 1.25, -1e-9, 4))
    assert message.queue.ToMilliseconds() == 500
    assert message.first.ToMilliseconds() == 1250
    assert message.total.ToNanoseconds() == 0
    assert message.batch_size == 4
