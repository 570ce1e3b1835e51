"""Requests as they are on the wire: statuses, streams, deadlines, adapters, numbers of calls."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Host, Served, metadata
from lepton_testing.inference import as_bytes, infer, path, request, stream
from lepton_worker.backends.base import AdapterFacts
from lepton_worker.engine.worker import State
from lepton_worker.errors import InternalError, OutOfMemory
from lepton_worker.request import Encoded, EncodeJob
from lepton_worker.serving.desk import Seat
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.tensors import from_raw

pytestmark = pytest.mark.component

Code = grpc.StatusCode


def outputs(response: Any) -> dict[str, Any]:
    """The outputs by name, from their raw bytes."""
    assert len(response.raw_output_contents) == len(response.outputs)
    assert not any(output.HasField("contents") for output in response.outputs)
    found = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        values = from_raw(output.datatype, int(np.prod(output.shape)), raw)
        found[output.name] = (
            values if isinstance(values, list) else values.reshape(tuple(output.shape))
        )
    return found


def failure(served: Served, sent: Any, **options: Any) -> Any:
    """The error of a call that has to fail, with its reason and violated fields."""
    with pytest.raises(grpc.RpcError) as caught:
        infer(served.channel, sent, **options)
    return caught.value


def details(error: Any) -> tuple[str, list[str]]:
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.code == error.code().value[0]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        for message in (info, bad):
            if packed.Is(message.DESCRIPTOR):
                packed.Unpack(message)
    return info.reason, [item.field for item in bad.field_violations]


# ------------------------------------------------------------------ requests
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"temperature": -1.0}, "parameters[temperature]"),
        ({"max_tokens": 0}, "parameters[max_tokens]"),
        ({"max_new_tokens": 1000}, "parameters[max_new_tokens]"),
        ({"min_tokens": 5, "max_tokens": 3}, "parameters[min_tokens]"),
        ({"top_k": "many"}, "parameters[top_k]"),
        ({"top_p": True}, "parameters[top_p]"),
        ({"stop": 1}, "parameters[stop]"),
        ({"priority": 101}, "parameters[priority]"),
        ({"timeout": -1}, "parameters[timeout]"),
        ({"tenant": "x" * 129}, "parameters[tenant]"),
        ({"max_tokens": 1, "max_new_tokens": 2}, "parameters[max_new_tokens]"),
        ({"max_tokenz": 1}, "parameters[max_tokenz]"),
        ({"overflow": "window"}, "parameters[overflow]"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(echo: Served, parameters: Any, field: str) -> None:
    error = failure(echo, request(parameters=parameters))
    assert error.code() is Code.INVALID_ARGUMENT
    reason, fields = details(error)
    assert reason in ("INVALID_REQUEST", "CONTEXT_LENGTH_EXCEEDED")
    assert fields == [field]


def test_parameters_reach_the_model(echo: Served) -> None:
    sent = request(
        "echo",
        ["one two three"],
        name="prompt",
        id="x",
        parameters={
            "max_tokens": "20",
            "stop": '["zzz", " three"]',
            "priority": -1,
            "tenant": "t",
            "timeout": 10_000_000,
            "sequence_id": 7,
            "triton_anything": True,
        },
    )
    response = infer(echo.channel, sent)
    assert outputs(response) == {"text_output": [b"one two"], "finish_reason": [b"stop"]}
    assert (response.id, response.model_name, response.model_version) == ("x", "echo", "1")
    told = response.parameters
    assert (told["prompt_tokens"].int64_param, told["output_tokens"].int64_param) == (13, 13)
    kinds = {item.WhichOneof("parameter_choice") for item in told.values()}
    assert kinds <= {"bool_param", "int64_param", "string_param"}


def test_unsigned_and_fractional_parameters_are_taken(echo: Served) -> None:
    sent = request(texts=["abcdef"])
    sent.parameters["seed"].uint64_param = 2**64 - 1
    sent.parameters["max_tokens"].double_param = 3.0
    sent.parameters["temperature"].double_param = 0.0
    assert outputs(infer(echo.channel, sent))["text_output"] == [b"abc"]


def test_tokens_take_the_place_of_texts(served: dict[str, Served], echo: Served) -> None:
    text = "Anna met Boris."
    one = served["classify"]
    tokens = list(one.text.Tokenize(text_pb2.TokenizeRequest(inputs=[text])).results[0].token_ids)
    sent = messages.InferRequest()
    ids, mask = [*tokens, 0, 0], [1] * len(tokens) + [0, 0]
    for name, values in (("input_ids", ids), ("attention_mask", mask)):
        tensor = sent.inputs.add(name=name, datatype="INT32", shape=[1, len(ids)])
        tensor.contents.int_contents.extend(values)
    found, expected = (outputs(infer(one.channel, item)) for item in (sent, request(texts=[text])))
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5)
    sent = messages.InferRequest()
    sent.inputs.add(name="input_ids", datatype="INT64", shape=[2, 2])
    sent.raw_input_contents.append(np.array([[97, 98], [99, 100]], "<i8").tobytes())
    assert outputs(infer(echo.channel, sent))["text_output"] == [b"ab", b"cd"]


def test_pairs_are_read_as_lepton_reads_them(served: dict[str, Served]) -> None:
    one = served["classify"]
    sent = request(texts=["one", "two"])
    sent.inputs.add(name="text_pair", datatype="BYTES", shape=[2])
    sent.raw_input_contents.append(b"\3\0\0\0six\5\0\0\0seven")
    expected = one.text.Classify(
        text_pb2.ClassifyRequest(inputs=["one", "two"], pairs=["six", "seven"], logits=True)
    )
    found = outputs(infer(one.channel, sent))["logits"]
    np.testing.assert_allclose(found, [item.logits for item in expected.results], atol=1e-5)


def test_parameters_of_encoders(served: dict[str, Served]) -> None:
    one, long = served["embed"], "word " * 400
    error = failure(one, request(texts=["short", long]))
    assert error.code() is Code.INVALID_ARGUMENT
    assert details(error) == ("CONTEXT_LENGTH_EXCEEDED", ["text[1]"])
    parameters = {"overflow": "truncate", "dimensions": 5, "normalize": True}
    vectors = outputs(infer(one.channel, request(texts=["a", long], parameters=parameters)))
    assert vectors["embedding"].shape == (2, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors["embedding"], axis=1), 1, atol=1e-5)
    for wrong in ({"overflow": "cut"}, {"dimensions": 33}, {"prompt_name": "q"}):
        assert details(failure(one, request(parameters=wrong)))[1] == [
            f"parameters[{next(iter(wrong))}]"
        ]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OutOfMemory("too large"), Code.RESOURCE_EXHAUSTED, "text[1]: too large"),
        (InternalError("broken"), Code.INTERNAL, "text[1]: broken"),
    ],
    ids=["memory", "bug"],
)
def test_one_row_fails_the_request_and_is_named(
    served: dict[str, Served], monkeypatch: pytest.MonkeyPatch, error: Any, code: Any, text: str
) -> None:
    plain = Seat.encoded

    async def second_fails(self: Seat, job: EncodeJob) -> Encoded:
        found = await plain(self, job)
        return Encoded((found.vectors[0], error, *found.vectors[2:]), found.timing)

    monkeypatch.setattr(Seat, "encoded", second_fails)
    for task in ("classify", "embed"):
        caught = failure(served[task], request(texts=["a", "b", "c"]))
        assert (caught.code(), caught.details()) == (code, text)


# ------------------------------------------------------------------ adapters, names
def test_adapters_are_named_by_model_or_parameter(
    served: dict[str, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = served["embed"]
    facts = AdapterFacts(name="law", folder="/law", source="law", rank=4, bytes=1)
    monkeypatch.setitem(one.worker.adapters, "law", facts)
    seen = []
    plain = Seat.encoded

    async def noting(self: Seat, job: EncodeJob) -> Encoded:
        seen.append(self.adapter)
        return await plain(Seat(self.engine, self.ticket), job)

    monkeypatch.setattr(Seat, "encoded", noting)
    assert infer(one.channel, request("embed:law")).model_name == "embed:law"
    infer(one.channel, request("embed", parameters={"adapter": "law"}))
    infer(one.channel, request("embed"), metadata=(("x-lepton-adapter", "law"),))
    infer(one.channel, request())
    assert seen == ["law", "law", "law", ""]
    assert failure(one, request("embed:none")).code() is Code.NOT_FOUND
    ask = one.channel.unary_unary(
        path("RepositoryIndex"),
        messages.IndexRequest.SerializeToString,
        messages.IndexResponse.FromString,
    )
    assert [item.name for item in ask(messages.IndexRequest()).models] == ["embed", "embed:law"]
    ready = one.channel.unary_unary(
        path("ModelReady"),
        messages.ModelReadyRequest.SerializeToString,
        messages.ModelReadyResponse.FromString,
    )
    names = {"embed:law": True, "embed:none": False, "other": False, "": True}
    for name, expected in names.items():
        assert ready(messages.ModelReadyRequest(name=name)).ready is expected
    assert ready(messages.ModelReadyRequest(name="embed", version="2")).ready is False


def test_calls_have_ids_and_are_counted(echo: Served) -> None:
    before = echo.sample("lepton_requests_total", code="OK")
    call = infer_call(echo, request(), metadata=(("x-request-id", "mine"),))
    assert metadata(call.trailing_metadata())["x-request-id"] == "mine"
    assert echo.sample("lepton_requests_total", code="OK") == before + 1
    assert failure(echo, b"\xff\xff").code() is Code.INVALID_ARGUMENT
    assert len(list(stream(echo.channel, [request(), request()]))) >= 2
    assert echo.sample("lepton_requests_total", code="OK") == before + 3


def infer_call(served: Served, sent: Any, **options: Any) -> Any:
    call = served.channel.unary_unary(
        path("ModelInfer"),
        messages.InferRequest.SerializeToString,
        messages.InferResponse.FromString,
    )
    _, done = call.with_call(sent, **options)
    return done


# ------------------------------------------------------------------ time
def in_hand(served: Served) -> tuple[int, int]:
    load = served.control.GetLoad(control_pb2.GetLoadRequest())
    return load.waiting, load.running


def until(claim: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(2000):
        if claim():
            return
        tick.wait(0.01)
    raise AssertionError("it never came to that")


def test_the_parameter_timeout_is_a_deadline(slow: Served) -> None:
    sent = request(texts=["x" * 200], parameters={"max_tokens": 200, "timeout": 400_000})
    error = failure(slow, sent)
    assert error.code() in (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)
    assert details(error)[0] in ("DEADLINE_EXCEEDED", "DEADLINE_UNATTAINABLE")
    assert in_hand(slow) == (0, 0)


def test_a_full_queue_is_told_on_streams_too(slow: Served) -> None:
    many = [request(texts=["x" * 100], id=str(number)) for number in range(5)]
    call = stream(slow.channel, many)
    told = [next(answer for answer in call if answer.error_message) for _ in range(2)]
    for answer in told:
        told_of = answer.infer_response.parameters
        assert told_of["error_code"].string_param == "RESOURCE_EXHAUSTED"
        assert told_of["error_reason"].string_param == "QUEUE_FULL"
        assert told_of["triton_final_response"].bool_param
        assert answer.infer_response.id in "01234"
    call.cancel()
    until(lambda: in_hand(slow) == (0, 0))


def test_texts_come_while_they_grow_and_requests_while_they_run(slow: Served) -> None:
    sent: queue.Queue[Any] = queue.Queue()

    def requests() -> Iterator[Any]:
        while (item := sent.get()) is not None:
            yield item

    call = stream(slow.channel, requests())
    sent.put(request(texts=["x" * 100], id="long", parameters={"max_tokens": 100}))
    first = next(call)
    assert not first.infer_response.parameters["triton_final_response"].bool_param
    sent.put(request(texts=[""], id="empty"))
    answers = iter(call)
    wrong = next(answer for answer in answers if answer.error_message)
    assert wrong.infer_response.id == "empty"
    assert in_hand(slow) == (0, 1)
    call.cancel()
    sent.put(None)
    until(lambda: in_hand(slow) == (0, 0))
    until(lambda: slow.sample("lepton_requests_total", code="CANCELLED") >= 1)


def test_a_stream_whose_caller_is_done_sending_is_answered_to_its_end(slow: Served) -> None:
    answers = list(stream(slow.channel, [request(texts=["abc"], id="a")]))
    parts = [outputs(answer.infer_response)["text_output"][0] for answer in answers]
    assert b"".join(parts) == b"abc"
    assert list(stream(slow.channel, [])) == []


def test_a_stream_without_requests_does_not_keep_a_worker_that_ends(
    host: Host, slow: Served
) -> None:
    sent: queue.Queue[Any] = queue.Queue()

    def requests() -> Iterator[Any]:
        while (item := sent.get()) is not None:
            yield item

    async def none_open() -> None:
        await asyncio.wait_for(slow.server._calls.none(), 30)

    call = stream(slow.channel, requests())
    sent.put(request(texts=["abcdef"], id="a"))
    assert next(call).infer_response.id == "a"
    assert not slow.server._calls._quiet.is_set()
    host.do(none_open())
    sent.put(request(texts=["c"], id="b"))
    sent.put(None)
    assert list(call)[-1].infer_response.id == "b"


def test_a_strict_stream_ends_with_all_details(echo: Served) -> None:
    call = stream(echo.channel, [request("other")], metadata=(("triton_grpc_error", "true"),))
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    error: Any = caught.value
    assert error.code() is Code.NOT_FOUND
    assert details(error)[0] == "MODEL_NOT_FOUND"


def test_a_worker_that_loads_says_so(host: Host, echo: Served) -> None:
    loaded = echo.worker._loaded

    async def load(value: bool) -> None:
        echo.worker._loaded = value

    host.do(load(False))
    try:
        error = failure(echo, request())
        assert error.code() is Code.UNAVAILABLE
        assert details(error)[0] == "MODEL_LOADING"
        assert int(metadata(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
        for name, kind in (("ModelMetadata", "Metadata"), ("ModelConfig", "Config")):
            ask = echo.channel.unary_unary(
                path(name),
                getattr(messages, f"{kind}Request").SerializeToString,
                getattr(messages, f"{kind}Response").FromString,
            )
            with pytest.raises(grpc.RpcError) as caught:
                ask(getattr(messages, f"{kind}Request")())
            assert caught.value.code() is Code.UNAVAILABLE
    finally:
        host.do(load(loaded))


def asked(served: Served, call: str, /, **fields: Any) -> Any:
    """The answer to one of the calls about server and model."""
    answer = messages.POOL.message(f"inference.{call}Response")
    sent = messages.POOL.message(f"inference.{call}Request")(**fields)
    return served.channel.unary_unary(path(call), as_bytes, answer.FromString)(sent)


def test_a_worker_that_drains_is_not_ready_and_still_describes_itself(
    echo: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo.worker, "state", State.DRAINING)
    assert asked(echo, "ServerLive").live
    assert not asked(echo, "ServerReady").ready
    assert not asked(echo, "ModelReady", name="echo").ready
    (shown,) = asked(echo, "RepositoryIndex").models
    assert (shown.state, shown.reason) == ("UNAVAILABLE", "draining")
    assert not asked(echo, "RepositoryIndex", ready=True).models
    assert asked(echo, "ModelMetadata").name == "echo"
    assert asked(echo, "ModelConfig", version="1").config.name == "echo"
    assert [item.name for item in asked(echo, "ModelStatistics").model_stats]


def test_a_worker_that_takes_nothing_more_says_so(
    echo: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echo.worker, "_refuses", True)
    error = failure(echo, request())
    assert (error.code(), details(error)[0]) == (Code.UNAVAILABLE, "DRAINING")
