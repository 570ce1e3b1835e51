"""Generation around the model: defaults, bounds, and how a text ends."""

import dataclasses

import pytest

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest
from lepton_worker.model import GenerationDefaults, Model
from lepton_worker.request import Constraint, Delta, GenerateJob, Sampling, TokenLogprob, Tokens
from lepton_worker.tasks.generate import (
    AskedSampling,
    Completion,
    answers,
    generate_job,
    score_job,
)

END = 256
ENDS = frozenset([END])


def prompt_of(length: int) -> Tokens:
    return Tokens((65,) * length)


def test_nothing_asked_and_nothing_declared_is_greedy_and_64_tokens(echo_model: Model) -> None:
    model = dataclasses.replace(echo_model, max_length=1000)
    job = generate_job(model, prompt_of(3), AskedSampling(), "text")
    assert job.sampling == Sampling(max_new_tokens=64, ends=ENDS)


def test_the_model_speaks_where_the_request_is_silent(echo_model: Model) -> None:
    said = GenerationDefaults(
        max_new_tokens=9,
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        min_p=0.1,
        repetition_penalty=1.2,
        no_repeat_ngram=3,
        min_new_tokens=2,
        ends=frozenset([1, 2]),
    )
    model = dataclasses.replace(echo_model, defaults=said)
    job = generate_job(model, prompt_of(3), AskedSampling(), "text")
    assert job.sampling == Sampling(
        9,
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        min_p=0.1,
        repetition_penalty=1.2,
        no_repeat_ngram=3,
        min_new_tokens=2,
        ends=frozenset([1, 2]),
    )
    asked = AskedSampling(
        temperature=0.0,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        repetition_penalty=1.0,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        bias=((3, -100.0),),
        seed=5,
        min_new_tokens=0,
        stop=("x",),
        ignore_eos=True,
        logprobs=2,
        constraint=Constraint("json_object"),
        forced=(7,),
    )
    assert generate_job(model, prompt_of(3), asked, "text").sampling == Sampling(
        9,
        no_repeat_ngram=3,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        bias=((3, -100.0),),
        seed=5,
        stop=("x",),
        logprobs=2,
        constraint=Constraint("json_object"),
        forced=(7,),
    )


@pytest.mark.parametrize(
    ("asked", "declared", "expected"),
    [
        # (most, least) asked, (most, least) declared, (most, least) resolved; 60 are left
        ((None, None), (None, 0), (60, 0)),
        ((5, None), (None, 9), (5, 5)),
        ((None, 20), (10, 0), (20, 20)),
        ((None, None), (10, 30), (10, 10)),
        ((8, 8), (10, 30), (8, 8)),
        ((8, 0), (10, 30), (8, 0)),
    ],
)
def test_most_and_least_tokens_go_together(
    echo_model: Model,
    asked: tuple[int | None, int | None],
    declared: tuple[int | None, int],
    expected: tuple[int, int],
) -> None:
    said = GenerationDefaults(max_new_tokens=declared[0], min_new_tokens=declared[1])
    model = dataclasses.replace(echo_model, defaults=said)
    wanted = AskedSampling(max_new_tokens=asked[0], min_new_tokens=asked[1])
    sampling = generate_job(model, prompt_of(4), wanted, "text").sampling
    assert (sampling.max_new_tokens, sampling.min_new_tokens) == expected


def test_the_default_length_is_cut_to_what_is_left(echo_model: Model) -> None:
    job = generate_job(echo_model, prompt_of(60), AskedSampling(), "text")
    assert job.sampling.max_new_tokens == 4


@pytest.mark.parametrize(
    ("length", "asked", "field", "words"),
    [
        (64, None, "text", "64 tokens leave no room"),
        (70, None, "text", "70 tokens leave no room"),
        (60, 5, "sampling.max_new_tokens", "there is room for 4"),
    ],
)
def test_what_does_not_fit_is_told_with_the_limits(
    echo_model: Model, length: int, asked: int | None, field: str, words: str
) -> None:
    with pytest.raises(ContextLengthExceeded, match=words) as caught:
        generate_job(echo_model, prompt_of(length), AskedSampling(max_new_tokens=asked), "text")
    assert caught.value.violations[0].field == field
    assert caught.value.metadata == {"max_length": "64", "prompt_tokens": str(length)}


def test_a_least_length_has_to_fit_too(echo_model: Model) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        generate_job(echo_model, prompt_of(60), AskedSampling(min_new_tokens=5), "text")
    assert caught.value.violations[0].field == "sampling.min_new_tokens"


def test_an_encoder_decoder_answers_beside_its_prompt(echo_model: Model) -> None:
    model = dataclasses.replace(echo_model, encoder_decoder=True)
    job = generate_job(model, prompt_of(64), AskedSampling(max_new_tokens=64), "text")
    assert job.sampling.max_new_tokens == 64
    with pytest.raises(ContextLengthExceeded, match="an answer may have 64"):
        generate_job(model, prompt_of(1), AskedSampling(max_new_tokens=65), "text")


def test_biased_tokens_have_to_be_the_models(echo_model: Model) -> None:
    asked = AskedSampling(bias=((-1, 1.0), (0, 1.0), (256, 1.0), (257, 1.0)))
    with pytest.raises(InvalidRequest, match="tokens are 0 to 256") as caught:
        generate_job(echo_model, prompt_of(1), asked, "text")
    fields = [item.field for item in caught.value.violations]
    assert fields == ["sampling.logit_bias[-1]", "sampling.logit_bias[257]"]


def test_each_answer_draws_from_a_seed_of_its_own(echo_model: Model) -> None:
    job = generate_job(echo_model, prompt_of(1), AskedSampling(seed=2**64 - 2), "text")
    assert [item.sampling.seed for item in answers(job, 4)] == [2**64 - 2, 2**64 - 1, 0, 1]
    assert answers(job, 1) == [job]
    unseeded = generate_job(echo_model, prompt_of(1), AskedSampling(), "text")
    assert answers(unseeded, 3) == [unseeded] * 3


def test_a_scored_text_is_read_and_not_continued() -> None:
    assert score_job(prompt_of(3)) == GenerateJob(
        prompt_of(3), Sampling(max_new_tokens=0, prompt_logprobs=True)
    )


def shown(model: Model, job: GenerateJob, tokens: list[int], size: int) -> tuple[str, Completion]:
    """What is shown of tokens that come `size` at a time."""
    text, completion = "", Completion(job, model)
    for start in range(0, len(tokens), size):
        if completion.stopped:
            break
        text += completion.add(tokens[start : start + size]).text
    return text + completion.end().text, completion


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("stop", "tokens", "text", "stopped", "count"),
    [
        ((), [*b"hi", END], "hi", False, 3),
        ((), [*b"hi"], "hi", False, 2),
        (("l",), [*b"hello"], "he", True, 3),
        (("lp",), [*b"hel"], "hel", False, 3),
        (("lp",), [*b"hel", END], "hel", False, 4),
        (("lo", "ll"), [*b"hello"], "he", True, 4),
        # The text ends within a character: what is there of it is shown as such.
        ((), [*"é".encode()[:1], 65], "\ufffdA", False, 2),
        ((), [*"é".encode()[:1]], "\ufffd", False, 1),
        (("\ufffd",), [*"é".encode()[:1]], "", True, 1),
        (("é",), [*"aéb".encode()], "a", True, 3),
    ],
)
def test_a_text_ends(
    echo_model: Model,
    stop: tuple[str, ...],
    tokens: list[int],
    text: str,
    stopped: bool,
    count: int,
    size: int,
) -> None:
    job = GenerateJob(prompt_of(1), Sampling(9, stop=stop, ends=ENDS))
    seen, completion = shown(echo_model, job, tokens, size)
    assert (seen, completion.stopped, completion.output_tokens) == (text, stopped, count)


def test_an_end_is_not_part_of_the_text(echo_model: Model) -> None:
    job = GenerateJob(prompt_of(1), Sampling(9, ends=frozenset(b"!")))
    seen, completion = shown(echo_model, job, [*b"hi!"], 1)
    assert (seen, completion.output_tokens) == ("hi", 3)


def test_an_end_that_is_ignored_is_a_token_like_others(echo_model: Model) -> None:
    seen, completion = shown(
        echo_model, GenerateJob(prompt_of(1), Sampling(9)), [*b"hi", END, 33], 1
    )
    assert (seen, completion.output_tokens) == ("hi!", 4)


def test_log_probabilities_stay_with_their_tokens(echo_model: Model) -> None:
    job = GenerateJob(prompt_of(1), Sampling(9, stop=("b",), logprobs=0))
    probable = [TokenLogprob(token, -float(token)) for token in b"abc"]
    assert Completion(job, echo_model).add(b"abc", probable) == Delta(
        "a", tuple(b"ab"), tuple(probable[:2])
    )
    # Half a character: its text comes later than its token.
    completion = Completion(job, echo_model)
    half = TokenLogprob(0xC3, -1.0)
    assert completion.add([0xC3], [half]) == Delta("", (0xC3,), (half,))
    assert completion.add([0xA9]) == Delta("é", (0xA9,))


def test_marked_special_tokens_are_written_out(echo_model: Model) -> None:
    job = GenerateJob(prompt_of(1), Sampling(9, stop=("x]c",)))
    completion = Completion(job, echo_model, {END: "[x]"})
    assert completion.add([*b"a", 0xC3, END]).text == "a\ufffd["
    assert completion.add([*b"d"]).text == "x]d"
    assert completion.add([END, *b"cd"]) == Delta("[", (END, ord("c")))
    assert completion.stopped
