"""The three questions, over gRPC with the generated stubs."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc

from lepton.v1 import common_pb2, generation_pb2, generation_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_demo.errors import Unanswered
from lepton_demo.vectors import Vector, decode

TIMEOUT = 60.0


@dataclass(frozen=True)
class Embedded:
    """Vectors, one a text, and what they cost."""

    vectors: list[Vector]
    dimensions: int
    tokens: int


@dataclass(frozen=True)
class Prompt:
    """Text to go on with."""

    text: str
    new_tokens: int
    ignore_eos: bool = False
    """Go on after the model ended its text, which one with random weights does anywhere."""


@dataclass(frozen=True)
class Written:
    """Text that a model wrote."""

    text: str
    tokens: int
    first_seconds: float
    total_seconds: float


async def embed(address: str, model: str, texts: Sequence[str]) -> Embedded:
    """Ask for the vectors of some texts."""
    request = text_pb2.EmbedRequest(meta=_meta(model), inputs=texts)
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await text_pb2_grpc.TextStub(channel).Embed(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _unanswered(model, address, error) from None
    for text, result in zip(texts, answer.results, strict=True):
        if result.HasField("error"):
            raise Unanswered(f"{model} could not embed {text!r}: {result.error.message}")
    vectors = [decode(result.values) for result in answer.results]
    return Embedded(vectors, answer.dimensions, answer.usage.prompt_tokens)


async def classify(address: str, model: str, text: str) -> list[tuple[str, float]]:
    """Ask for the labels of one text, best first."""
    request = text_pb2.ClassifyRequest(meta=_meta(model), inputs=[text])
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await text_pb2_grpc.TextStub(channel).Classify(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _unanswered(model, address, error) from None
    (result,) = answer.results
    if result.HasField("error"):
        raise Unanswered(f"{model} could not classify {text!r}: {result.error.message}")
    return [(label.name, label.score) for label in result.labels]


async def generate(
    address: str, model: str, prompt: Prompt, on_text: Callable[[str], None]
) -> Written:
    """Ask for a continuation; `on_text` sees the whole text so far each time more of it came."""
    request = generation_pb2.GenerateRequest(
        meta=_meta(model),
        text=prompt.text,
        sampling=generation_pb2.Sampling(
            max_new_tokens=prompt.new_tokens, ignore_eos=prompt.ignore_eos
        ),
    )
    text, finish = "", None
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            stub = generation_pb2_grpc.GenerationStub(channel)
            async for event in stub.Generate(request, timeout=TIMEOUT):
                if event.HasField("delta"):
                    text += event.delta.text
                    on_text(text)
                elif event.HasField("finish"):
                    finish = event.finish
        except grpc.aio.AioRpcError as error:
            raise _unanswered(model, address, error) from None
    if finish is None:
        raise Unanswered(f"{model} ended its stream without saying why")
    return Written(
        text=text,
        tokens=finish.usage.output_tokens,
        first_seconds=finish.timing.first.ToTimedelta().total_seconds(),
        total_seconds=finish.timing.total.ToTimedelta().total_seconds(),
    )


def embedding_call(
    model: str, texts: Sequence[str], at_once: int = 1
) -> Callable[[grpc.aio.Channel, int], Awaitable[object]]:
    """Return a call for a load: each request asks for the vectors of the next of these texts."""

    async def call(channel: grpc.aio.Channel, number: int) -> object:
        inputs = [texts[(number + step) % len(texts)] for step in range(at_once)]
        request = text_pb2.EmbedRequest(meta=_meta(model), inputs=inputs)
        answer: object = await text_pb2_grpc.TextStub(channel).Embed(request)
        return answer

    return call


def _meta(model: str) -> common_pb2.RequestMeta:
    return common_pb2.RequestMeta(model=model)


def _unanswered(model: str, address: str, error: grpc.aio.AioRpcError) -> Unanswered:
    said = f"{error.code().name}: {error.details()}"
    return Unanswered(f"{model} at {address} gave no answer; {said}")
