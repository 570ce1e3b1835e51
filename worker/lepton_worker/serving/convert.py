"""Between protobuf and our own values, with every check that needs no model."""

from collections.abc import Sequence

from google.protobuf import duration_pb2

from lepton.v1 import common_pb2, text_pb2
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Timing

MOST_INPUTS = 4096


def input_violations(inputs: Sequence[str]) -> list[Violation]:
    """What is wrong with a list of texts, before it is tokenized."""
    if not inputs:
        return [Violation("inputs", "must have at least one text")]
    if len(inputs) > MOST_INPUTS:
        return [Violation("inputs", f"must have at most {MOST_INPUTS} texts, not {len(inputs)}")]
    empty = [index for index, text in enumerate(inputs) if not text]
    return [Violation(f"inputs[{index}]", "must not be empty") for index in empty]


def overflow_violations(value: int) -> list[Violation]:
    """What is wrong with an overflow policy."""
    if value in text_pb2.Overflow.values():
        return []
    return [Violation("overflow", f"has no value {value}")]


def raise_for(violations: Sequence[Violation]) -> None:
    """Raise InvalidRequest if there are any."""
    if violations:
        raise InvalidRequest(violations)


def timing(value: Timing) -> common_pb2.Timing:
    """Timing as a message."""
    return common_pb2.Timing(
        queue=duration(value.queue),
        first=duration(value.first),
        total=duration(value.total),
        batch_size=value.batch_size,
    )


def duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a message."""
    message = duration_pb2.Duration()
    message.FromNanoseconds(max(0, round(seconds * 1e9)))
    return message
