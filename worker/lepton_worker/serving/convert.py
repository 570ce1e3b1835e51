"""Between protobuf and our own values, with every check that needs no model."""

import math
from collections.abc import Sequence

from google.protobuf import duration_pb2

from lepton.v1 import common_pb2, generation_pb2, text_pb2
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Delta, Finish, FinishReason, Timing
from lepton_worker.tasks.generate import AskedSampling

MOST_STOPS = 16
MOST_INPUTS = 4096

REASONS = {
    FinishReason.STOP: generation_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: generation_pb2.FINISH_REASON_LENGTH,
    FinishReason.DRAINED: generation_pb2.FINISH_REASON_DRAINED,
}


def asked_sampling(message: generation_pb2.Sampling) -> AskedSampling:
    """Sampling as asked for; raises InvalidRequest with every field that is out of bounds."""
    raise_for(sampling_violations(message))

    def given(name: str) -> bool:
        return bool(message.HasField(name))

    return AskedSampling(
        max_new_tokens=message.max_new_tokens if given("max_new_tokens") else None,
        temperature=message.temperature if given("temperature") else None,
        top_p=message.top_p if given("top_p") else None,
        top_k=message.top_k if given("top_k") else None,
        seed=message.seed if given("seed") else None,
        stop=tuple(message.stop),
        ignore_eos=message.ignore_eos,
    )


def sampling_violations(message: generation_pb2.Sampling) -> list[Violation]:
    """What is out of bounds in a sampling message."""
    found: list[Violation] = []

    def check(name: str, right: bool, text: str) -> None:
        if not right:
            found.append(Violation(f"sampling.{name}", text))

    if message.HasField("max_new_tokens"):
        check("max_new_tokens", message.max_new_tokens >= 1, "must be at least 1")
    if message.HasField("temperature"):
        value = message.temperature
        check("temperature", math.isfinite(value) and value >= 0, "must be 0 or greater")
    if message.HasField("top_p"):
        check("top_p", 0 < message.top_p <= 1, "must be greater than 0 and at most 1")
    if message.HasField("top_k"):
        check("top_k", message.top_k >= 0, "must be 0 or greater")
    check("stop", len(message.stop) <= MOST_STOPS, f"must have at most {MOST_STOPS} strings")
    for index, stop in enumerate(message.stop[:MOST_STOPS]):
        check(f"stop[{index}]", bool(stop), "must not be empty")
    return found


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


def delta(value: Delta) -> generation_pb2.GenerateEvent:
    """New tokens as an event."""
    return generation_pb2.GenerateEvent(
        delta=generation_pb2.Delta(text=value.text, token_ids=value.ids)
    )


def finish(value: Finish) -> generation_pb2.GenerateEvent:
    """The end as an event."""
    return generation_pb2.GenerateEvent(
        finish=generation_pb2.Finish(
            reason=REASONS[value.reason],
            usage=common_pb2.Usage(
                prompt_tokens=value.prompt_tokens, output_tokens=value.output_tokens
            ),
            timing=timing(value.timing),
        )
    )
