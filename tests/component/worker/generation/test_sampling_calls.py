"""Sampling over the wire, held against the same model in transformers."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import torch

from lepton.v1 import control_pb2, generation_pb2
from lepton_testing.hosted import Served

pytestmark = pytest.mark.component

Generate = generation_pb2.GenerateRequest
Sampling = generation_pb2.Sampling
PROMPT = "The harbour was quiet, and"


@dataclass
class Written:
    """One answer, put together."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    finish: Any = None


def written(events: Iterable[Any], n: int = 1) -> list[Written]:
    """The answers of a stream that has to be well formed."""
    events = list(events)
    assert events[0].WhichOneof("event") == "accepted"
    answers = [Written() for _ in range(n)]
    for event in events[1:]:
        kind = event.WhichOneof("event")
        message = getattr(event, kind)
        answer = answers[message.choice]
        assert answer.finish is None, "nothing comes behind the end"
        if kind == "finish":
            answer.finish = message
        else:
            answer.text += message.text
            answer.ids += message.token_ids
            answer.logprobs += message.logprobs
    assert all(answer.finish is not None for answer in answers)
    return answers


def generate(served: Served, text: str = PROMPT, **sampling: Any) -> list[Written]:
    request = Generate(text=text, sampling=Sampling(**sampling))
    return written(served.generation.Generate(request), sampling.get("n", 1))


def in_hand(served: Served) -> tuple[int, int]:
    load = served.control.GetLoad(control_pb2.GetLoadRequest())
    return load.waiting, load.running


def distribution(both: Any, ids: list[int]) -> Any:
    """Log probabilities of the tokens behind each token, by transformers."""
    with torch.no_grad():
        return both.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def test_answers_with_a_seed_are_those_of_the_following_seeds(decoder: Any) -> None:
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 12, "ignore_eos": True}
    answers = generate(decoder.served, n=4, seed=7, **options)
    assert len({answer.text for answer in answers}) > 1
    for index, answer in enumerate(answers):
        alone = generate(decoder.served, seed=7 + index, **options)[0]
        assert (answer.text, answer.ids) == (alone.text, alone.ids)
        assert answer.text == decoder.tokenizer.decode(answer.ids, skip_special_tokens=True)
        assert answer.finish.usage.output_tokens == len(answer.ids) == 12


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 5, "seed": 3}], ids=str)
def test_log_probabilities_are_the_models_own(decoder: Any, options: dict[str, Any]) -> None:
    answer = generate(decoder.served, logprobs=3, max_new_tokens=8, ignore_eos=True, **options)[0]
    prompt = decoder.tokenizer(PROMPT).input_ids
    expected = distribution(decoder, [*prompt, *answer.ids])[len(prompt) - 1 :]
    assert len(answer.logprobs) == len(answer.ids) == 8
    for token, item, row in zip(answer.ids, answer.logprobs, expected, strict=False):
        assert item.token_id == token
        assert item.logprob == pytest.approx(row[token].item(), abs=1e-3)
        best = row.topk(3)
        assert [top.token_id for top in item.top] == best.indices.tolist()
        assert [top.logprob for top in item.top] == pytest.approx(best.values.tolist(), abs=1e-3)
        assert item.text == decoder.tokenizer.decode([token])
        assert all(top.text == decoder.tokenizer.decode([top.token_id]) for top in item.top)


def test_log_probabilities_only_when_asked_for(decoder: Any) -> None:
    assert not generate(decoder.served, max_new_tokens=3)[0].logprobs
    only = generate(decoder.served, max_new_tokens=3, logprobs=0)[0].logprobs
    assert [len(item.top) for item in only] == [0] * 3


def test_a_bias_forces_and_forbids(decoder: Any) -> None:
    plain = generate(decoder.served, max_new_tokens=4)[0].ids
    forced = generate(decoder.served, max_new_tokens=4, logit_bias={300: 100})[0].ids
    assert forced == [300] * 4
    assert (
        plain[0]
        not in generate(decoder.served, max_new_tokens=4, logit_bias={plain[0]: -100})[0].ids
    )


def test_a_stop_string_ends_one_answer_and_leaves_the_others(decoder: Any) -> None:
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 30, "ignore_eos": True}
    options |= {"n": 3, "seed": 1}
    whole = generate(decoder.served, **options)
    cut = generate(decoder.served, stop=[whole[0].text[5:8]], **options)
    assert cut[0].text == whole[0].text[: whole[0].text.index(whole[0].text[5:8])]
    assert cut[0].finish.reason == generation_pb2.FINISH_REASON_STOP
    assert cut[0].finish.usage.output_tokens == len(cut[0].ids) < 30
    assert cut[0].finish.usage.prompt_tokens == whole[0].finish.usage.prompt_tokens
    assert cut[0].finish.timing.total.ToNanoseconds() > 0
    for before, after in zip(whole[1:], cut[1:], strict=True):
        if whole[0].text[5:8] not in before.text:
            assert (after.text, after.ids) == (before.text, before.ids)


async def test_a_call_of_many_answers_leaves_nothing_behind(decoder: Any) -> None:
    sampling = Sampling(n=16, max_new_tokens=400, ignore_eos=True)
    stream = decoder.served.generation.Generate(Generate(text=PROMPT, sampling=sampling))
    seen = set()
    for event in stream:
        if event.WhichOneof("event") == "delta":
            seen.add(event.delta.choice)
        if len(seen) > 1:
            break
    stream.cancel()
    with pytest.raises(grpc.RpcError):
        list(stream)
    async with asyncio.timeout(20):
        while in_hand(decoder.served) != (0, 0):  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)
    assert generate(decoder.served, max_new_tokens=1)[0].ids


@pytest.mark.parametrize(
    ("sampling", "fields"),
    [
        (Sampling(n=17, logprobs=21), ["sampling.logprobs", "sampling.n"]),
        (Sampling(logit_bias={10_000: 1}), ["sampling.logit_bias[10000]"]),
        (Sampling(min_new_tokens=5, max_new_tokens=4), ["sampling.min_new_tokens"]),
        (Sampling(json_object=False), ["sampling.json_object"]),
        (Sampling(regex="(?=a)b"), ["sampling.regex"]),
        (Sampling(json_schema='{"not": {"type": "string"}}'), ["sampling.json_schema"]),
    ],
    ids=str,
)
def test_wrong_sampling_is_told(decoder: Any, sampling: Any, fields: list[str]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(decoder.served.generation.Generate(Generate(text="x", sampling=sampling)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert all(name in str(caught.value.details()) for name in fields)
