"""Generation around the model: defaults, bounds, and how a text ends."""

import dataclasses

import pytest

from lepton_worker.errors import ContextLengthExceeded
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Delta, FinishReason, Sampling, Tokens
from lepton_worker.tasks.generate import AskedSampling, Completion, generate_job

END = 256


def prompt_of(length: int) -> Tokens:
    return Tokens((65,) * length)


def test_nothing_asked_and_nothing_declared_is_greedy_and_64_tokens(echo_model: Model) -> None:
    model = dataclasses.replace(echo_model, max_length=1000)
    job = generate_job(model, prompt_of(3), AskedSampling(), "text")
    assert job.sampling == Sampling(max_new_tokens=64)


def test_the_model_speaks_where_the_request_is_silent(echo_model: Model) -> None:
    said = GenerationDefaults(max_new_tokens=9, temperature=0.7, top_p=0.9, top_k=20)
    model = dataclasses.replace(echo_model, defaults=said)
    job = generate_job(model, prompt_of(3), AskedSampling(), "text")
    assert job.sampling == Sampling(9, temperature=0.7, top_p=0.9, top_k=20)
    asked = AskedSampling(temperature=0.0, top_p=1.0, top_k=0, seed=5, stop=("x",))
    assert generate_job(model, prompt_of(3), asked, "text").sampling == Sampling(
        9, temperature=0.0, top_p=1.0, top_k=0, seed=5, stop=("x",)
    )


def test_the_default_length_is_cut_to_what_is_left(echo_model: Model) -> None:
    job = generate_job(echo_model, prompt_of(60), AskedSampling(), "text")
    assert job.sampling.max_new_tokens == 4


@pytest.mark.parametrize(
    ("length", "asked", "field", "words"),
    [
        (64, None, "text", "64 tokens leave no room"),
        (70, None, "text", "70 tokens leave no room"),
        (60, 5, "sampling.max_new_tokens", "so 4 are left"),
    ],
)
def test_what_does_not_fit_is_told_with_the_limits(
    echo_model: Model, length: int, asked: int | None, field: str, words: str
) -> None:
    with pytest.raises(ContextLengthExceeded, match=words) as caught:
        generate_job(echo_model, prompt_of(length), AskedSampling(max_new_tokens=asked), "text")
    assert caught.value.violations[0].field == field
    assert caught.value.metadata == {"max_length": "64", "prompt_tokens": str(length)}


def completed(model: Model, sampling: Sampling, tokens: list[int]) -> tuple[str, Completion]:
    job = dataclasses.replace(
        generate_job(model, prompt_of(1), AskedSampling(), "text"), sampling=sampling
    )
    text = Completion(job, model)
    shown = ""
    for token in tokens:
        assert text.finished is None
        shown += text.add(token).text
    return shown, text


@pytest.mark.parametrize(
    ("sampling", "tokens", "shown", "reason"),
    [
        (Sampling(9), [*b"hi", END], "hi", FinishReason.STOP),
        (Sampling(3), [*b"hi", END], "hi", FinishReason.STOP),
        (Sampling(2), [*b"hi"], "hi", FinishReason.LENGTH),
        (Sampling(4, ignore_eos=True), [*b"hi", END, 33], "hi!", FinishReason.LENGTH),
        (Sampling(9, stop=("l",)), [*b"hel"], "he", FinishReason.STOP),
        (Sampling(3, stop=("lp",)), [*b"hel"], "hel", FinishReason.LENGTH),
        (Sampling(9, stop=("lp",)), [*b"hel", END], "hel", FinishReason.STOP),
        # The text ends within a character: what is there of it is shown as such.
        (Sampling(2), [*"é".encode()[:1], 65], "\ufffdA", FinishReason.LENGTH),
        (Sampling(1), [*"é".encode()[:1]], "\ufffd", FinishReason.LENGTH),
        (Sampling(1, stop=("\ufffd",)), [*"é".encode()[:1]], "", FinishReason.STOP),
    ],
)
def test_a_text_ends(
    echo_model: Model, sampling: Sampling, tokens: list[int], shown: str, reason: FinishReason
) -> None:
    text, completion = completed(echo_model, sampling, tokens)
    assert (text, completion.finished) == (shown, reason)
    assert (completion.prompt_tokens, completion.output_tokens) == (1, len(tokens))


def test_a_drained_text_gives_out_what_was_held_back(echo_model: Model) -> None:
    shown, completion = completed(echo_model, Sampling(9, stop=("lp",)), [*b"hel"])
    assert shown == "he"
    assert completion.end(FinishReason.DRAINED) == Delta("l", ())
    assert completion.finished is FinishReason.DRAINED
