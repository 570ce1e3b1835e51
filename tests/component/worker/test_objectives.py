"""Callers say how fast they want a text, by metadata, over a real channel."""

from typing import Any

import grpc
import pytest

from lepton.v1 import generation_pb2, text_pb2
from lepton_testing.hosted import Host, Served, details, metadata

pytestmark = pytest.mark.component

Generate = generation_pb2.GenerateRequest
Sampling = generation_pb2.Sampling


@pytest.fixture
def slow(host: Host) -> Served:
    """Each step takes a moment."""
    return host.serve(backend="echo", model_name="slow", echo_delay_ms=50.0, max_batch_size=2)


def refused(
    served: Served, sent: tuple[tuple[str, str], ...], new_tokens: int = 4
) -> tuple[grpc.RpcError, dict[str, Any]]:
    """The error of a generation that has to fail, and its details by kind."""
    sampling = Sampling(max_new_tokens=new_tokens)
    with pytest.raises(grpc.RpcError) as caught:
        list(served.generation.Generate(Generate(text="x" * 20, sampling=sampling), metadata=sent))
    return caught.value, details(caught.value)


@pytest.mark.parametrize("key", ["x-slo-ttft-ms", "x-slo-tpot-ms"])
@pytest.mark.parametrize("value", ["", "fast", "0", "-5", "nan", "inf", "1 s"])
def test_what_is_no_time_is_refused_by_name(echo: Served, key: str, value: str) -> None:
    error, details = refused(echo, ((key, value),))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [item.field for item in details["BadRequest"].field_violations] == [key]


def test_a_first_token_that_cannot_come_in_time_is_refused_at_once(slow: Served) -> None:
    request = Generate(text="x" * 20, sampling=Sampling(max_new_tokens=8))
    assert len(list(slow.generation.Generate(request))) == 10  # and steps have a known cost
    error, details = refused(slow, (("x-slo-ttft-ms", "2"),))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "DEADLINE_UNATTAINABLE"
    assert int(metadata(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
    assert "first token" in str(error.details())


def test_objectives_that_can_be_met_change_no_answer(slow: Served) -> None:
    request = Generate(text="x" * 20, sampling=Sampling(max_new_tokens=8))
    wanted = (("x-slo-ttft-ms", "2000"), ("x-slo-tpot-ms", "500.5"))
    texts = [
        "".join(event.delta.text for event in slow.generation.Generate(request, metadata=sent))
        for sent in (wanted, ())
    ]
    assert texts[0] == texts[1] != ""


def test_a_pace_that_no_text_has_alone_refuses_nothing(slow: Served) -> None:
    request = Generate(text="x" * 20, sampling=Sampling(max_new_tokens=8))
    for _ in range(2):
        events = list(slow.generation.Generate(request, metadata=(("x-slo-tpot-ms", "1"),)))
        assert events[-1].HasField("finish")


def test_calls_that_answer_as_a_whole_have_no_first_token(echo: Served) -> None:
    request = text_pb2.EmbedRequest(inputs=["x"])
    assert echo.text.Embed(request, metadata=(("x-slo-ttft-ms", "0.001"),)).results
