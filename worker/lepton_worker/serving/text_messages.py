"""Between the messages of the service Text and our own values, and the checks of its fields."""

from collections.abc import Iterable, Sequence

from lepton.v1 import text_pb2
from lepton_worker.errors import Violation
from lepton_worker.model import Model
from lepton_worker.serving import convert
from lepton_worker.serving.options import MESSAGE_BYTES
from lepton_worker.tasks.reading import Overflow
from lepton_worker.tasks.tag import Aggregation, Found

FRAME_BYTES = 64
"""What a message needs around each answer, generously."""

OVERFLOWS = {
    text_pb2.OVERFLOW_UNSPECIFIED: Overflow.REJECT,
    text_pb2.OVERFLOW_REJECT: Overflow.REJECT,
    text_pb2.OVERFLOW_TRUNCATE: Overflow.TRUNCATE,
    text_pb2.OVERFLOW_WINDOW: Overflow.WINDOW,
}
AGGREGATIONS = {
    text_pb2.AGGREGATION_UNSPECIFIED: Aggregation.SIMPLE,
    text_pb2.AGGREGATION_NONE: Aggregation.NONE,
    text_pb2.AGGREGATION_SIMPLE: Aggregation.SIMPLE,
    text_pb2.AGGREGATION_FIRST: Aggregation.FIRST,
    text_pb2.AGGREGATION_AVERAGE: Aggregation.AVERAGE,
    text_pb2.AGGREGATION_MAX: Aggregation.MAX,
}


def labels_bytes(model: Model) -> int:
    """About what an answer with all labels takes: names, scores, logits, and what frames them."""
    return sum(len(label.encode()) + 16 for label in model.labels)


def whole_inputs(inputs: Sequence[str], overflow: int, answer_bytes: int) -> list[Violation]:
    """What is wrong with inputs of which none may be empty, each with an answer of a known size."""
    found = [*convert.input_violations(inputs), *convert.overflow_violations(overflow)]
    return found or sizes(len(inputs), answer_bytes)


def sizes(count: int, answer_bytes: int) -> list[Violation]:
    """Whether so many answers fit into a message."""
    most = MESSAGE_BYTES // (answer_bytes + FRAME_BYTES)
    if count <= most:
        return []
    text = f"must have at most {most} texts, or the answer is larger than a message may be"
    return [Violation("inputs", text)]


def counted(
    items: Sequence[object], field: str, most: int = convert.MOST_INPUTS
) -> list[Violation]:
    """What is wrong with the length of a list."""
    if not items:
        return [Violation(field, "must have at least one entry")]
    if len(items) > most:
        return [Violation(field, f"must have at most {most} entries, not {len(items)}")]
    return []


def between(field: str, value: float, low: float, high: float | None = None) -> list[Violation]:
    """What is wrong with a number; `high` None is no bound."""
    if high is None:
        return [] if value >= low else [Violation(field, f"must be {low:g} or greater")]
    # Written so that NaN is outside, too.
    return [] if low <= value <= high else [Violation(field, f"must be from {low:g} to {high:g}")]


def known(field: str, value: int, values: Iterable[int]) -> list[Violation]:
    """What is wrong with a value of an enum."""
    return [] if value in values else [Violation(field, f"has no value {value}")]


def labels(chosen: Iterable[tuple[str, float]]) -> list[text_pb2.Label]:
    """Labels with scores, in their order."""
    return [text_pb2.Label(name=name, score=score) for name, score in chosen]


def span(text: str, found: Found) -> text_pb2.Span:
    """A span with its text."""
    return text_pb2.Span(
        start=found.start,
        end=found.end,
        label=found.label,
        score=found.score,
        text=text[found.start : found.end],
    )
