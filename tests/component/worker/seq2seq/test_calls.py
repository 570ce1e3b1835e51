"""Generate, Summarise and Translate of encoder-decoders, held against transformers' `generate`."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import common_pb2, control_pb2, generation_pb2, text_pb2
from lepton_testing.hosted import Host
from lepton_testing.seq2seq import both

pytestmark = pytest.mark.component

TEXTS = [
    "The harbour was quiet, and the boats lay still on the grey water.",
    "Nobody knew who had written the letter.",
    "Two bakers share one oven; the bread does not mind.",
]
Sampling = generation_pb2.Sampling
OWN: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 12}


def generate(both: Any, text: str, **sampling: Any) -> tuple[str, list[Any], Any]:
    """An answer, its log probabilities, and its end."""
    request = generation_pb2.GenerateRequest(text=text, sampling=Sampling(**sampling))
    written, logprobs, end = "", [], None
    for event in both.served.generation.Generate(request):
        if event.WhichOneof("event") == "delta":
            written += event.delta.text
            logprobs += event.delta.logprobs
        elif event.WhichOneof("event") == "finish":
            end = event.finish
    return written, logprobs, end


@pytest.fixture(params=["t5", "bart"])
def either(request: pytest.FixtureRequest, backend: str) -> Any:
    return request.getfixturevalue(request.param)


def test_generate_answers_as_transformers_does(either: Any) -> None:
    for text in TEXTS:
        written, logprobs, end = generate(either, text, **OWN, logprobs=2)
        assert written == either.answer(text, 12)
        assert end.usage.prompt_tokens == len(either.tokenizer(text).input_ids)
        assert end.usage.output_tokens == len(logprobs)
        assert end.usage.cached_tokens == 0
        for told in logprobs:
            assert told.logprob == told.top[0].logprob < 0


def test_seeds_and_several_answers(either: Any) -> None:
    options: dict[str, Any] = {"temperature": 1.5, "max_new_tokens": 10, "ignore_eos": True}
    first, other = (generate(either, TEXTS[0], seed=seed, **options)[0] for seed in (1, 2))
    assert first != other
    assert generate(either, TEXTS[0], seed=1, **options)[0] == first
    request = generation_pb2.GenerateRequest(
        text=TEXTS[0], sampling=Sampling(seed=1, n=2, **options)
    )
    texts = ["", ""]
    for event in either.served.generation.Generate(request):
        if event.WhichOneof("event") == "delta":
            texts[event.delta.choice] += event.delta.text
    assert texts == [first, other]


@pytest.mark.parametrize("backend", ["auto"], indirect=True)
def test_a_constraint_holds(either: Any) -> None:
    choices = generation_pb2.Choices(texts=["bread", "water"])
    written, _, end = generate(either, TEXTS[0], choices=choices)
    assert written in ("bread", "water")
    assert end.reason == generation_pb2.FINISH_REASON_STOP


def test_summaries(t5: Any) -> None:
    request = text_pb2.SummariseRequest(inputs=TEXTS, max_tokens=12)
    found = t5.served.text.Summarise(request)
    for text, result in zip(TEXTS, found.results, strict=True):
        assert result.text == t5.answer("summarize: " + text, 12).strip()
    request.min_tokens = 12
    longer = t5.served.text.Summarise(request)
    for text, result in zip(TEXTS, longer.results, strict=True):
        assert result.text == t5.answer("summarize: " + text, 12, min_new_tokens=12).strip()
        assert result.cut_short
    assert longer.usage.output_tokens == 36


def test_a_long_text_is_cut_or_read_in_parts_or_refused(either: Any) -> None:
    long = " ".join(TEXTS * 12)
    count = len(either.tokenizer(long).input_ids)
    assert count > 256
    request = text_pb2.SummariseRequest(inputs=[long, TEXTS[0]], max_tokens=4)
    refused, kept = either.served.text.Summarise(request).results
    assert refused.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert refused.error.message.startswith("inputs[0]: ")
    assert not kept.error.code
    request.overflow = text_pb2.OVERFLOW_TRUNCATE
    assert either.served.text.Summarise(request).results[0].truncated
    request.overflow = text_pb2.OVERFLOW_WINDOW
    assert either.served.text.Summarise(request).results[0].windows > 1


def test_translations_by_prefix(t5: Any) -> None:
    request = text_pb2.TranslateRequest(
        inputs=TEXTS, source_language="en", target_language="fr", max_tokens=9
    )
    for text, result in zip(TEXTS, t5.served.text.Translate(request).results, strict=True):
        assert result.text == t5.answer("translate English to French: " + text, 9).strip()


def test_translations_by_token(mbart: Any) -> None:
    seen = set()
    for source, target in (("", "de_DE"), ("", "fr_XX"), ("fr_XX", "de_DE")):
        request = text_pb2.TranslateRequest(
            inputs=TEXTS, source_language=source, target_language=target, max_tokens=9
        )
        token = mbart.tokenizer.convert_tokens_to_ids(target)
        for text, result in zip(TEXTS, mbart.served.text.Translate(request).results, strict=True):
            ids = mbart.tokenizer(text, return_tensors="pt").input_ids
            if source:
                ids[0, 0] = mbart.tokenizer.convert_tokens_to_ids(source)
            # By itself the model searches with the beams of its own config.
            found = mbart.model.generate(ids, max_new_tokens=9, forced_bos_token_id=token)
            assert result.text == mbart.tokenizer.decode(found[0], skip_special_tokens=True).strip()
            seen.add(result.text)
    assert len(seen) > 3


@pytest.mark.parametrize("beams", [1, 3, 12])
def test_as_many_beams_as_are_asked_for(t5: Any, mbart: Any, beams: int) -> None:
    asked = text_pb2.SummariseRequest(inputs=TEXTS, max_tokens=12, num_beams=beams)
    answer = t5.served.text.Summarise(asked)
    for text, result in zip(TEXTS, answer.results, strict=True):
        assert result.text == t5.answer("summarize: " + text, 12, num_beams=beams).strip()
    assert answer.usage.output_tokens <= 36
    order = text_pb2.TranslateRequest(
        inputs=TEXTS[:1], target_language="de_DE", max_tokens=9, num_beams=beams
    )
    token = mbart.tokenizer.convert_tokens_to_ids("de_DE")
    assert mbart.served.text.Translate(order).results[0].text == mbart.answer(
        TEXTS[0], 9, num_beams=beams, forced_bos_token_id=token
    )
    order.num_beams = 17
    with pytest.raises(grpc.RpcError) as caught:
        mbart.served.text.Translate(order)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()) == "num_beams: must be 0 (as the model has it) to 16"


@pytest.mark.parametrize(
    ("model", "source", "target", "field"),
    [
        ("t5", "en", "xx", "target_language"),
        ("mbart", "", "xx_XX", "target_language"),
        ("mbart", "xx_XX", "de_DE", "source_language"),
        ("bart", "en", "", "source_language"),
    ],
)
def test_an_unknown_language_is_told(
    request: pytest.FixtureRequest,
    backend: str,
    model: str,
    source: str,
    target: str,
    field: str,
) -> None:
    served = request.getfixturevalue(model).served
    asked = text_pb2.TranslateRequest(inputs=["x"], source_language=source, target_language=target)
    with pytest.raises(grpc.RpcError) as caught:
        served.text.Translate(asked)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(f"{field}: ")


def test_too_long_a_prompt_or_answer_is_told(either: Any) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        (" ".join(TEXTS * 12), {}, "text: "),
        (TEXTS[0], {"max_new_tokens": 257}, "sampling.max_new_tokens: "),
    ]
    for text, sampling, field in cases:
        with pytest.raises(grpc.RpcError) as caught:
            generate(either, text, **sampling)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(caught.value.details()).startswith(field)
    # Prompt and answer count apart.
    _, _, end = generate(either, TEXTS[0], max_new_tokens=256, ignore_eos=True)
    assert end.usage.output_tokens == 256


def test_what_is_not_offered_is_told(either: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        either.served.text.Score(text_pb2.ScoreRequest(inputs=["x"]))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_text_that_nobody_waits_for_is_left(either: Any) -> None:
    def in_hand() -> tuple[int, int]:
        load = either.served.control.GetLoad(control_pb2.GetLoadRequest())
        return load.waiting, load.running

    request = generation_pb2.GenerateRequest(
        text=TEXTS[0], sampling=Sampling(max_new_tokens=250, ignore_eos=True, n=16)
    )
    call = either.served.generation.Generate(request)
    next(call)
    next(call)
    call.cancel()
    async with asyncio.timeout(20):
        while in_hand() != (0, 0):  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)
    assert generate(either, TEXTS[1], **OWN)[0] == either.answer(TEXTS[1], 12)


def test_the_model_says_what_it_is(t5: Any, mbart: Any, backend: str) -> None:
    ask = control_pb2.GetModelInfoRequest()
    info = t5.served.control.GetModelInfo(ask)
    assert info.max_length == 256
    assert {call.rpartition("/")[2] for call in info.calls} >= {
        "Generate",
        "Summarise",
        "Translate",
    }
    assert "lepton.v1.Text/Score" not in info.calls
    if backend == "auto":
        assert info.backend == "native"
        assert info.choices["backend"].startswith("native: texts side by side")
        assert info.choices["beams"].startswith("1: one token")
        choices = mbart.served.control.GetModelInfo(ask).choices
        assert choices["beams"] == "5: as the model's own config asks"


async def test_a_search_that_nobody_waits_for_is_left(bart: Any) -> None:
    def in_hand() -> tuple[int, int]:
        load = bart.served.control.GetLoad(control_pb2.GetLoadRequest())
        return load.waiting, load.running

    asked = text_pb2.SummariseRequest(inputs=TEXTS * 4, max_tokens=256, min_tokens=256, num_beams=8)
    call = bart.served.text.Summarise.future(asked)
    async with asyncio.timeout(20):
        while in_hand()[1] == 0:  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)
        call.cancel()
        while in_hand() != (0, 0):  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.01)
    assert generate(bart, TEXTS[1], **OWN)[0] == bart.answer(TEXTS[1], 12)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_text_that_loses_its_slot_goes_on_as_if_nothing_had_been(
    host: Host, samples: Path, backend: str, name: str
) -> None:
    one = both(host, samples / name, backend, max_batch_size=1)
    # Several answers, so that one runs whenever the better request comes.
    options = Sampling(max_new_tokens=200, ignore_eos=True, n=4)
    low = generation_pb2.GenerateRequest(
        text=TEXTS[0], sampling=options, meta=common_pb2.RequestMeta(priority=5)
    )
    ids: list[list[int]] = [[] for _ in range(4)]
    others: list[str] = []
    for event in one.served.generation.Generate(low):
        if event.WhichOneof("event") == "delta":
            ids[event.delta.choice] += event.delta.token_ids
            others = others or [generate(one, TEXTS[1], **OWN)[0]]
    assert one.served.sample("lepton_evictions_total") >= 1
    assert others == [one.answer(TEXTS[1], 12)]
    expected = one.model.generate(
        one.tokenizer(TEXTS[0], return_tensors="pt").input_ids,
        max_new_tokens=200,
        do_sample=False,
        num_beams=1,
        eos_token_id=None,
    )
    assert ids == [expected[0, 1:].tolist()] * 4
