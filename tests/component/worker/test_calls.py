"""Calls that go wrong, and what every call has in common, over a real channel."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lepton.v1 import common_pb2, control_pb2, generation_pb2, text_pb2
from lepton_testing.hosted import Host, Served, details, metadata
from lepton_worker.serving.options import MESSAGE_BYTES

pytestmark = pytest.mark.component

Code = grpc.StatusCode
Meta = common_pb2.RequestMeta
Generate = generation_pb2.GenerateRequest
Tokens = generation_pb2.TokenIds
Sampling = generation_pb2.Sampling
Embed = text_pb2.EmbedRequest
Classify = text_pb2.ClassifyRequest

SLOW_MS = 150.0


def answered(served: Served, request: Any, **options: Any) -> Any:
    """Ask by the kind of the request; a stream is read to its end."""
    if isinstance(request, Generate):
        return list(served.generation.Generate(request, **options))
    if isinstance(request, Embed):
        return served.text.Embed(request, **options)
    return served.text.Classify(request, **options)


def failure(served: Served, request: Any, **options: Any) -> tuple[grpc.RpcError, dict[str, Any]]:
    """The error of a call that has to fail, and its details by kind."""
    with pytest.raises(grpc.RpcError) as caught:
        answered(served, request, **options)
    found = details(caught.value)
    assert found["ErrorInfo"].domain == "lepton"
    return caught.value, found


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (Generate(), ["input"]),
        (Generate(text=""), ["text"]),
        (Generate(tokens=Tokens()), ["tokens.ids"]),
        (Generate(tokens=Tokens(ids=[1, 257])), ["tokens.ids[1]"]),
        (Generate(tokens=Tokens(ids=[-1])), ["tokens.ids[0]"]),
        (Generate(text="x", sampling=Sampling(temperature=-1)), ["sampling.temperature"]),
        (Generate(text="x", sampling=Sampling(top_p=1.5)), ["sampling.top_p"]),
        (Generate(text="x", sampling=Sampling(max_new_tokens=0)), ["sampling.max_new_tokens"]),
        (
            Generate(text="x", sampling=Sampling(stop=["a"] * 17, top_k=-1)),
            ["sampling.top_k", "sampling.stop"],
        ),
        (Generate(text="x", meta=Meta(request_id="a\nb")), ["meta.request_id"]),
        (Generate(text="x", meta=Meta(request_id="é")), ["meta.request_id"]),
        (Embed(), ["inputs"]),
        (Embed(inputs=["a", "", ""]), ["inputs[1]", "inputs[2]"]),
        (Embed(inputs=["a"] * 4097), ["inputs"]),
        (Embed(inputs=["a"], overflow=7), ["overflow"]),  # type: ignore[arg-type]
        (Classify(inputs=[]), ["inputs"]),
        (Classify(inputs=["a"], top_k=-2), ["top_k"]),
    ],
    ids=str,
)
def test_wrong_requests_name_every_wrong_field(
    echo: Served, request_: Any, fields: list[str]
) -> None:
    error, details = failure(echo, request_)
    assert error.code() is Code.INVALID_ARGUMENT
    assert [item.field for item in details["BadRequest"].field_violations] == fields
    assert details["ErrorInfo"].reason == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("request_", "field", "tokens"),
    [
        (Generate(text="x" * 64), "text", "64"),
        (Generate(text="x" * 100_000), "text", "8192"),
        (Generate(tokens=Tokens(ids=[1] * 70)), "tokens", "70"),
        (Generate(text="x", sampling=Sampling(max_new_tokens=64)), "sampling.max_new_tokens", "1"),
    ],
    ids=["text", "far too long", "tokens", "with the answer"],
)
def test_too_long_is_told_with_the_limit(
    echo: Served, request_: Any, field: str, tokens: str
) -> None:
    error, details = failure(echo, request_)
    assert error.code() is Code.INVALID_ARGUMENT
    assert details["ErrorInfo"].reason == "CONTEXT_LENGTH_EXCEEDED"
    assert dict(details["ErrorInfo"].metadata) == {"max_length": "64", "prompt_tokens": tokens}
    assert [item.field for item in details["BadRequest"].field_violations] == [field]


@pytest.mark.parametrize("request_", [Generate(text="x"), Embed(inputs=["x"])], ids=["g", "e"])
def test_another_models_name_is_not_found(echo: Served, request_: Any) -> None:
    request_.meta.model = "other"
    error, details = failure(echo, request_)
    assert error.code() is Code.NOT_FOUND
    assert details["ErrorInfo"].metadata["served"] == "echo"
    assert "'echo', not 'other'" in str(error.details())
    request_.meta.model = "echo"
    assert answered(echo, request_)


def test_a_huge_name_still_gets_the_right_status(echo: Served) -> None:
    error, _ = failure(echo, Embed(inputs=["x"], meta=Meta(model="ü" * 100_000)))
    assert error.code() is Code.NOT_FOUND


def test_another_task_is_unimplemented_and_says_which_one_is_served(
    host: Host, samples: Any
) -> None:
    served = host.serve(source=str(samples / "bert-classifier"))
    for request in (Generate(text="x"), Embed(inputs=["x"])):
        error, details = failure(served, request)
        assert error.code() is Code.UNIMPLEMENTED
        assert details["ErrorInfo"].reason == "TASK_NOT_SUPPORTED"
        assert details["ErrorInfo"].metadata["task"] == "classify"
        assert "call Classify" in str(error.details())


def test_messages_have_a_limit_and_the_worker_goes_on(echo: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        echo.text.Embed(Embed(inputs=["x" * (MESSAGE_BYTES + 1)]))
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    assert answered(echo, Embed(inputs=["x" * 5_000_000])).results[0].error.code
    info = echo.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert info.max_message_bytes == MESSAGE_BYTES


@pytest.fixture
def slow(host: Host) -> Served:
    """Each step takes a moment; one request runs and two may wait."""
    return host.serve(
        backend="echo",
        model_name="slow",
        echo_delay_ms=SLOW_MS,
        max_batch_size=1,
        max_queue_depth=2,
    )


def in_hand(served: Served) -> tuple[int, int]:
    load = served.control.GetLoad(control_pb2.GetLoadRequest())
    return load.waiting, load.running


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(claim):  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)


async def until_in_hand(served: Served, wanted: tuple[int, int]) -> None:
    await until(lambda: in_hand(served) == wanted)


async def test_a_full_queue_refuses_at_once_and_load_tells(slow: Served) -> None:
    streams = []
    for expected in ((0, 1), (1, 1), (2, 1)):
        streams.append(slow.generation.Generate(Generate(text="x" * 200)))
        await until_in_hand(slow, expected)
    error, details = failure(slow, Generate(text="one too many"))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "QUEUE_FULL"
    pushback = int(metadata(error.trailing_metadata())["grpc-retry-pushback-ms"])
    assert pushback > 0
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == pushback
    positions = [next(stream).accepted.queue_position for stream in streams]
    assert positions == [0, 0, 1]
    assert slow.sample("lepton_requests_waiting") == 2
    assert slow.sample("lepton_requests_running") == 1
    for stream in streams:
        stream.cancel()
    await until_in_hand(slow, (0, 0))
    assert slow.sample("lepton_requests_rejected_total", reason="QUEUE_FULL") == 1


async def test_a_cancelled_stream_leaves_within_a_step(slow: Served) -> None:
    before = slow.sample("lepton_generated_tokens_total")
    stream = slow.generation.Generate(
        Generate(text="x" * 200, sampling=Sampling(max_new_tokens=200))
    )
    assert next(stream).HasField("accepted")
    assert next(stream).delta.text == "x"
    stream.cancel()
    await until_in_hand(slow, (0, 0))
    assert slow.sample("lepton_generated_tokens_total") - before <= 3
    await until(lambda: slow.sample("lepton_requests_total", code="CANCELLED") >= 1)


async def test_a_deadline_ends_a_request_wherever_it_is(slow: Served) -> None:
    running = slow.generation.Generate(Generate(text="x" * 200), timeout=1.0)
    assert next(running).HasField("accepted")
    waiting = slow.generation.Generate(Generate(text="y"), timeout=0.5)
    for stream in (running, waiting):
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() is Code.DEADLINE_EXCEEDED
    await until_in_hand(slow, (0, 0))


def test_a_deadline_in_the_past_costs_nothing(slow: Served) -> None:
    before = slow.sample("lepton_batch_size_count")
    with pytest.raises(grpc.RpcError) as caught:
        slow.text.Embed(Embed(inputs=["x"]), timeout=1e-6)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    assert in_hand(slow) == (0, 0)
    assert slow.sample("lepton_batch_size_count") == before


def metadata_of(call: Any) -> tuple[dict[str, str], dict[str, str]]:
    return metadata(call.initial_metadata()), metadata(call.trailing_metadata())


@pytest.mark.parametrize(
    ("own", "sent", "seen"), [("mine", "", "mine"), ("", "sent", "sent"), ("mine", "sent", "mine")]
)
def test_a_request_keeps_its_id(echo: Served, own: str, sent: str, seen: str) -> None:
    headers = (("x-request-id", sent),) if sent else ()
    _, call = echo.text.Embed.with_call(
        Embed(inputs=["x"], meta=Meta(request_id=own)), metadata=headers
    )
    assert [part["x-request-id"] for part in metadata_of(call)] == [seen, seen]
    stream = echo.generation.Generate(
        Generate(text="x", meta=Meta(request_id=own)), metadata=headers
    )
    assert next(stream).accepted.request_id == seen
    assert list(stream)
    assert [part["x-request-id"] for part in metadata_of(stream)] == [seen, seen]
    error, _ = failure(echo, Embed(meta=Meta(request_id=own)), metadata=headers)
    assert metadata(error.trailing_metadata())["x-request-id"] == seen


def test_a_request_without_an_id_gets_one(echo: Served) -> None:
    ids = {next(echo.generation.Generate(Generate(text="x"))).accepted.request_id for _ in "ab"}
    assert len(ids) == 2
    assert all(len(value) == 32 for value in ids)


def test_info_tells_what_is_served(host: Host, samples: Any) -> None:
    folder = samples / "bert-classifier"
    served = host.serve(source=str(folder))
    info = served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert (info.name, info.state) == ("model", control_pb2.ModelInfo.STATE_SERVING)
    assert (info.task, info.source, info.architecture) == (
        "classify",
        str(folder),
        "BertForSequenceClassification",
    )
    assert (info.backend, info.device, info.dtype) == ("native", "cpu", "float32")
    assert info.choices["batches"] == "packed: same numbers as one by one"
    assert "lepton.v1.Text/Classify" in info.calls
    assert "lepton.v1.Text/Embed" not in info.calls
    assert (info.max_length, list(info.labels)) == (128, ["negative", "neutral", "positive"])
    assert set(info.start_up) == {"fetch", "import", "load", "warm_up"}
    load = served.control.GetLoad(control_pb2.GetLoadRequest())
    assert (load.waiting, load.running, load.max_waiting) == (0, 0, 256)


def test_health_knows_each_service_and_no_other(echo: Served) -> None:
    stub = health_pb2_grpc.HealthStub(echo.channel)
    names = ["", "readiness", "liveness"]
    names += [f"lepton.v1.{service}" for service in ("Control", "Generation", "Text")]
    for name in names:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is Code.NOT_FOUND


def test_reflection_lists_the_services(echo: Served) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(echo.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = stub.ServerReflectionInfo(asked)
    names = {service.name for service in answer.list_services_response.service}
    assert {"lepton.v1.Control", "lepton.v1.Generation", "lepton.v1.Text"} <= names


async def test_after_a_storm_of_good_bad_and_cancelled_calls_nothing_is_left(echo: Served) -> None:
    stop = threading.Event()

    def calls() -> Iterator[None]:
        for number in range(20):
            if stop.is_set():
                return
            text = f"call {number}"
            events = list(echo.generation.Generate(Generate(text=text)))
            assert "".join(event.delta.text for event in events) == text
            failure(echo, Generate(text=""))
            assert echo.text.Embed(Embed(inputs=[text] * 3)).dimensions == 8
            stream = echo.generation.Generate(Generate(text="x" * 40))
            next(stream)
            stream.cancel()
            yield

    try:
        await asyncio.gather(*(asyncio.to_thread(list, calls()) for _ in range(6)))
    finally:
        stop.set()
    await until_in_hand(echo, (0, 0))
