"""Score against the loss of transformers; Summarise and Translate of a chat model."""

import asyncio
import math
from typing import Any

import grpc
import pytest
import torch

from lepton.v1 import control_pb2, text_pb2
from lepton_testing.hosted import Served

pytestmark = pytest.mark.component

TEXTS = ["The harbour was quiet, and the boats lay still.", "Zwölf Boxkämpfer", "今天的天气很好。"]


def test_scores_are_the_loss_of_transformers(decoder: Any) -> None:
    response = decoder.served.text.Score(text_pb2.ScoreRequest(inputs=TEXTS, tokens=True))
    total = 0
    for text, result in zip(TEXTS, response.results, strict=True):
        ids = decoder.tokenizer(text).input_ids
        total += len(ids)
        with torch.no_grad():
            out = decoder.model(torch.tensor([ids]), labels=torch.tensor([ids]))
        loss = out.loss.item()
        assert result.logprob == pytest.approx(-loss * (len(ids) - 1), rel=1e-4)
        assert result.perplexity == pytest.approx(math.exp(loss), rel=1e-3)
        assert [token.token_id for token in result.tokens] == ids
        assert [token.text for token in result.tokens] == [
            decoder.tokenizer.decode([token]) for token in ids
        ]
        assert not result.tokens[0].HasField("logprob")
        rows = out.logits[0].float().log_softmax(-1)
        expected = [row[token].item() for row, token in zip(rows, ids[1:], strict=False)]
        found = [token.logprob for token in result.tokens[1:]]
        assert found == pytest.approx(expected, abs=1e-3)
    assert response.usage.prompt_tokens == total
    assert response.usage.output_tokens == 0


def test_one_wrong_text_does_not_disturb_the_others(decoder: Any) -> None:
    inputs = ["The harbour", "x " * 2000, "was quiet"]
    response = decoder.served.text.Score(text_pb2.ScoreRequest(inputs=inputs))
    assert [bool(item.error.code) for item in response.results] == [False, True, False]
    assert response.results[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert not response.results[0].tokens
    cut = decoder.served.text.Score(
        text_pb2.ScoreRequest(inputs=inputs, overflow=text_pb2.OVERFLOW_TRUNCATE)
    )
    assert [item.truncated for item in cut.results] == [False, True, False]
    assert cut.results[0].logprob == pytest.approx(response.results[0].logprob, rel=1e-5)


def test_a_chat_model_is_asked_to_write(parrot: Served) -> None:
    summary = parrot.text.Summarise(
        text_pb2.SummariseRequest(inputs=["one", "two"], max_tokens=250)
    )
    assert [item.text.rpartition("\n")[2] for item in summary.results] == ["one", "two"]
    assert all(item.text.startswith("Summarise the text below") for item in summary.results)
    assert not any(item.cut_short for item in summary.results)
    assert summary.usage.output_tokens > 0
    request = text_pb2.TranslateRequest(inputs=["one"], target_language="French", max_tokens=10)
    translation = parrot.text.Translate(request)
    assert translation.results[0].text == "Translate"
    assert translation.results[0].cut_short


def test_a_long_text_is_written_of_in_parts(parrot: Served) -> None:
    text = "".join(f"This is sentence number {number}. " for number in range(40))
    request = text_pb2.SummariseRequest(
        inputs=[text, "short"], max_tokens=100, overflow=text_pb2.OVERFLOW_WINDOW
    )
    long, short = parrot.text.Summarise(request).results
    assert long.windows > 1
    assert long.text.count("Summarise the text below") == long.windows
    assert short.windows == 0
    assert not long.truncated
    request.overflow = text_pb2.OVERFLOW_REJECT
    assert parrot.text.Summarise(request).results[0].error.code


def in_hand(served: Served) -> tuple[int, int]:
    load = served.control.GetLoad(control_pb2.GetLoadRequest())
    return load.waiting, load.running


@pytest.mark.parametrize("seconds", [None, 0.3], ids=["cancelled", "late"])
async def test_a_list_that_nobody_waits_for_is_left(parrot: Served, seconds: float | None) -> None:
    # Some 400 000 steps of the model, if nobody ends it.
    request = text_pb2.SummariseRequest(inputs=["x" * 300] * 4000, max_tokens=100)
    call = parrot.text.Summarise.future(request, timeout=seconds)
    async with asyncio.timeout(20):
        while not call.done() and in_hand(parrot) == (0, 0):  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)
        if seconds is None:
            call.cancel()
        while not call.done() or in_hand(parrot) != (0, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    expected = grpc.StatusCode.CANCELLED if seconds is None else grpc.StatusCode.DEADLINE_EXCEEDED
    assert call.code() is expected
    again = parrot.text.Score(text_pb2.ScoreRequest(inputs=["still here"]))
    assert not again.results[0].error.code


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("Summarise", text_pb2.SummariseRequest(), "inputs"),
        ("Summarise", text_pb2.SummariseRequest(inputs=["x"], max_tokens=-1), "max_tokens"),
        (
            "Summarise",
            text_pb2.SummariseRequest(inputs=["x"], max_tokens=2, min_tokens=3),
            "min_tokens",
        ),
        ("Translate", text_pb2.TranslateRequest(inputs=["x"]), "target_language"),
        (
            "Score",
            text_pb2.ScoreRequest(inputs=["x"], overflow=text_pb2.OVERFLOW_WINDOW),
            "overflow",
        ),
    ],
)
def test_wrong_requests_are_told(parrot: Served, call: str, request_: Any, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(parrot.text, call)(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{field}: ")


def test_a_model_that_cannot_write_says_so(echo: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        echo.text.Summarise(text_pb2.SummariseRequest(inputs=["x"]))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
