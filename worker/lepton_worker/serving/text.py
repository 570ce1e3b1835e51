"""The service Text."""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton.v1 import common_pb2, text_pb2, text_pb2_grpc
from lepton_worker.engine.worker import Worker
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.model import Model, Tokenized
from lepton_worker.request import Encoded, EncodeJob, Task, Timing, Vector
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context
from lepton_worker.serving.desk import Seat, seated
from lepton_worker.serving.options import MESSAGE_BYTES
from lepton_worker.serving.status import status_of
from lepton_worker.tasks.classify import best, scores
from lepton_worker.tasks.embed import scaled
from lepton_worker.tasks.prepare import complaint

FRAME_BYTES = 64
"""What a message needs around each answer, generously."""


@dataclass(frozen=True)
class Answered:
    """One input's answer: a vector, or what was wrong with it."""

    truncated: bool
    vector: Vector | None = None
    error: InvalidRequest | None = None


@dataclass(frozen=True)
class AllAnswered:
    """The answers to a whole call, in its order."""

    answers: list[Answered]
    usage: common_pb2.Usage
    timing: common_pb2.Timing


class TextServicer(text_pb2_grpc.TextServicer):
    """Answers about whole texts."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def Classify(
        self, request: text_pb2.ClassifyRequest, context: Context
    ) -> text_pb2.ClassifyResponse:
        """Labels with their scores."""
        with seated(self._worker, Task.CLASSIFY, request.meta, context) as seat:
            wrong = [] if request.top_k >= 0 else [Violation("top_k", "must be 0 or greater")]
            # A label is its name, four bytes of score, and what frames them.
            size = sum(len(label.encode()) + 16 for label in seat.model.labels)
            convert.raise_for([*_violations(request.inputs, request.overflow, size), *wrong])
            done = await self._answer(seat, Task.CLASSIFY, request.inputs, request.overflow)
            return text_pb2.ClassifyResponse(
                results=[_classification(item, seat.model, request.top_k) for item in done.answers],
                usage=done.usage,
                timing=done.timing,
            )

    async def Embed(
        self, request: text_pb2.EmbedRequest, context: Context
    ) -> text_pb2.EmbedResponse:
        """One vector a text."""
        with seated(self._worker, Task.EMBED, request.meta, context) as seat:
            size = 4 * seat.model.dimensions
            convert.raise_for(_violations(request.inputs, request.overflow, size))
            done = await self._answer(seat, Task.EMBED, request.inputs, request.overflow)
            asked = request.HasField("normalize")
            normalize = request.normalize if asked else seat.model.normalize
            return text_pb2.EmbedResponse(
                results=[_embedding(item, normalize) for item in done.answers],
                dimensions=seat.model.dimensions,
                usage=done.usage,
                timing=done.timing,
            )

    async def _answer(
        self, seat: Seat, task: Task, inputs: Sequence[str], overflow: int
    ) -> AllAnswered:
        """Run the inputs that can be run; the others carry their own error."""
        truncate = overflow == text_pb2.OVERFLOW_TRUNCATE
        results = await self._worker.tokenize(seat.model, inputs, truncate)
        wrong = [
            complaint(seat.model, text, result, f"inputs[{index}]")
            for index, (text, result) in enumerate(zip(inputs, results, strict=True))
        ]
        sound = tuple(
            result.tokens for result, error in zip(results, wrong, strict=True) if error is None
        )
        encoded = Encoded((), Timing(0, 0, 0, 0))
        if sound:
            encoded = await seat.encoded(EncodeJob(task, sound))
        count = sum(map(len, sound))
        self._worker.metrics.prompt_tokens.inc(count)
        return AllAnswered(
            answers=_joined(results, wrong, encoded),
            usage=common_pb2.Usage(prompt_tokens=count),
            timing=convert.timing(encoded.timing),
        )


def _joined(
    results: Sequence[Tokenized], wrong: Sequence[InvalidRequest | None], encoded: Encoded
) -> list[Answered]:
    vectors = iter(encoded.vectors)
    return [
        Answered(result.truncated, None if error else next(vectors), error)
        for result, error in zip(results, wrong, strict=True)
    ]


def _classification(item: Answered, model: Model, top_k: int) -> text_pb2.Classification:
    if item.vector is None:
        assert item.error is not None
        return text_pb2.Classification(error=status_of(item.error))
    chosen = best(scores(item.vector, model.scoring), model.labels, top_k)
    return text_pb2.Classification(
        labels=[text_pb2.Label(name=name, score=score) for name, score in chosen],
        truncated=item.truncated,
    )


def _embedding(item: Answered, normalize: bool) -> text_pb2.Embedding:
    if item.vector is None:
        assert item.error is not None
        return text_pb2.Embedding(error=status_of(item.error))
    values = scaled(item.vector, normalize).astype("<f4").tobytes()
    return text_pb2.Embedding(values=values, truncated=item.truncated)


def _violations(inputs: Sequence[str], overflow: int, answer_bytes: int) -> list[Violation]:
    """What is wrong with inputs of which each gets an answer of about so many bytes."""
    found = [*convert.input_violations(inputs), *convert.overflow_violations(overflow)]
    most = MESSAGE_BYTES // (answer_bytes + FRAME_BYTES)
    if not found and len(inputs) > most:
        text = f"must have at most {most} texts, or the answer is larger than a message may be"
        found.append(Violation("inputs", text))
    return found
