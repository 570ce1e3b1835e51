"""Choices for whole batches: the order of treatment, seeds, errors, reports and what is kept."""

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.errors import InternalError, InvalidRequest
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Constraint, Sampling, Tokens

pytestmark = pytest.mark.component

WIDTH = 300


def text(*prompt: int, **options: Any) -> DecoderSequence:
    return DecoderSequence(Tokens(prompt), Sampling(50, **options))


def sampler(**defaults: Any) -> Sampler:
    return Sampler(GenerationDefaults(**defaults), WIDTH, None)


def random_logits(rows: int, seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)) * spread


def tokens(choices: list[Any]) -> list[int]:
    assert all(isinstance(choice, Choice) for choice in choices), choices
    return [choice.token for choice in choices]


def test_greedy_takes_the_first_of_the_largest() -> None:
    logits = random_logits(4)
    logits[1, [17, 200]] = 99.0
    found = sampler().choose([text(1) for _ in range(4)], logits)
    assert tokens(found) == logits.argmax(-1).tolist()
    assert found[1] == Choice(17)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_greedy_in_the_models_own_numbers(dtype: torch.dtype) -> None:
    logits = random_logits(4).to(dtype)
    plain = sampler().choose([text(1) for _ in range(4)], logits)
    treated = sampler().choose([text(1, bias=((5, 0.0),)) for _ in range(4)], logits)
    assert tokens(plain) == tokens(treated) == logits.argmax(-1).tolist()


OPTIONS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram": 1},
    {"repetition_penalty": 1.2, "no_repeat_ngram": 2},
    {"temperature": 0.7, "repetition_penalty": 1.3},
    {"temperature": 1.4, "top_k": 4},
    {"temperature": 0.9, "top_p": 0.7},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 1.3, "top_k": 12, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
    {"temperature": 0.6, "top_p": 0.95, "no_repeat_ngram": 1},
]


def oracle(ids: list[int], logits: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    """Probabilities of one row as transformers' `generate` has them."""
    chain = LogitsProcessorList()
    if "repetition_penalty" in options:
        chain.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    if "no_repeat_ngram" in options:
        chain.append(NoRepeatNGramLogitsProcessor(options["no_repeat_ngram"]))
    if "temperature" in options:
        chain.append(TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        chain.append(TopKLogitsWarper(options["top_k"]))
    if "top_p" in options:
        chain.append(TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        chain.append(MinPLogitsWarper(options["min_p"]))
    changed = chain(torch.tensor([ids]), logits[None].clone())  # type: ignore[arg-type]
    return changed[0].double().softmax(-1)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_whole_chain_as_transformers(options: dict[str, Any]) -> None:
    """Greedy rows agree; of drawn ones, frequencies pass a chi-square test (seeds are fixed)."""
    count = 1500
    logits = random_logits(1, seed=4, spread=2.0)
    ids = logits[0].topk(3).indices.tolist() * 2
    shares = oracle(ids, logits[0], options)
    batch = [text(*ids, seed=seed, **options) for seed in range(count)]
    found = tokens(sampler().choose(batch, logits.expand(count, -1)))
    if "temperature" not in options:
        assert set(found) == {int(shares.argmax())}
        return
    counted = torch.bincount(torch.tensor(found), minlength=WIDTH).double()
    assert not counted[shares == 0].any()
    often = shares * count >= 5
    wanted = torch.cat([shares[often], shares[~often].sum()[None]]) * count
    seen = torch.cat([counted[often], counted[~often].sum()[None]])
    used = wanted > 0
    statistic = float(((seen - wanted)[used] ** 2 / wanted[used]).sum())
    freedom = int(used.sum()) - 1
    # The mean of chi-square is its degrees of freedom, the variance twice that: four deviations.
    assert statistic < freedom + 4 * (2 * max(freedom, 1)) ** 0.5


@pytest.mark.parametrize(("amount", "wanted"), [(100.0, {7}), (-100.0, set(range(WIDTH)) - {7})])
def test_a_bias_of_a_hundred_decides(amount: float, wanted: set[int]) -> None:
    logits = random_logits(40, spread=1.0)
    logits[:, 7] += 3
    options = {"temperature": 1.0, "bias": ((7, amount),)}
    batch = [text(1, seed=seed, **options) for seed in range(40)]
    assert set(tokens(sampler().choose(batch, logits))) <= wanted
    greedy = [text(1, bias=((7, amount),)) for _ in range(40)]
    assert set(tokens(sampler().choose(greedy, logits))) <= wanted


KINDS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 20},
    {"temperature": 1.1, "top_p": 0.9},
    {"temperature": 1.1, "top_p": 0.4, "presence_penalty": 1.0, "frequency_penalty": 0.5},
    {"temperature": 1.5, "min_p": 0.1, "repetition_penalty": 1.3},
    {"temperature": 2.0, "top_k": 280, "no_repeat_ngram": 2},
    {"min_new_tokens": 3, "ends": frozenset(range(0, WIDTH, 2))},
    {"temperature": 1.0, "logprobs": 3},
]


def run(order: list[int], together: int, steps: int = 6, lost_at: int = -1) -> dict[int, list[int]]:
    """The answers of sequences 0.. by kind, taken in some order and so many at a time.

    Each sequence's logits depend on its own number and step alone. At one step, the sampler may
    lose what it knows, as when a process goes on with a text of another one.
    """
    found = sampler()
    texts = {name: text(1, 2, 3, seed=name, **KINDS[name % len(KINDS)]) for name in order}
    for step in range(steps):
        if step == lost_at:
            for sequence in texts.values():
                found.release(sequence)
        for start in range(0, len(order), together):
            names = order[start : start + together]
            rows = torch.cat([random_logits(1, 1000 * name + step) for name in names])
            chosen = tokens(found.choose([texts[name] for name in names], rows))
            for name, token in zip(names, chosen, strict=True):
                texts[name].ids.append(token)
    return {name: sequence.ids for name, sequence in texts.items()}


def test_neighbours_order_and_interruptions_change_no_answer() -> None:
    names = list(range(2 * len(KINDS)))
    alone = run(names, 1)
    assert run(names, len(names)) == alone
    mixed = names.copy()
    for seed, together in ((1, 5), (2, 7), (3, 18)):
        random.Random(seed).shuffle(mixed)
        assert run(mixed, together) == alone
    assert run(names, 4, lost_at=3) == alone


def test_without_a_seed_each_text_is_another() -> None:
    batch = [text(1, temperature=1.0) for _ in range(20)]
    assert len(set(tokens(sampler().choose(batch, torch.zeros(20, WIDTH))))) > 10
    same = [text(1, temperature=1.0, seed=5) for _ in range(20)]
    assert len(set(tokens(sampler().choose(same, torch.zeros(20, WIDTH))))) == 1


def test_a_text_without_a_seed_draws_anew_at_each_step() -> None:
    found, sequence = sampler(), text(1, temperature=1.0)
    for _ in range(20):
        sequence.ids += tokens(found.choose([sequence], torch.zeros(1, WIDTH)))
    assert len(set(sequence.ids)) > 10


def test_a_tiny_temperature_is_greedy() -> None:
    logits = random_logits(3)
    batch = [text(1, temperature=value) for value in (1e-300, 1e-9, 1e-4)]
    assert tokens(sampler().choose(batch, logits)) == logits.argmax(-1).tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_row_that_is_no_number_fails_alone(bad: float, options: dict[str, Any]) -> None:
    logits = random_logits(3)
    want = tokens(sampler().choose([text(1, seed=1, **options)], logits[2:]))
    logits[0, 9] = bad
    logits[1] = float("-inf")
    first, second, third = sampler().choose([text(1, seed=1, **options) for _ in range(3)], logits)
    assert isinstance(first, InternalError)
    assert isinstance(second, InternalError)
    assert tokens([third]) == want


def test_logits_that_are_masked_by_the_model_are_fine() -> None:
    logits = random_logits(2)
    logits[:, 100:] = float("-inf")
    batch = [text(1), text(1, temperature=1.0, seed=1, logprobs=2)]
    assert max(tokens(sampler().choose(batch, logits))) < 100


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("width", [WIDTH - 50, WIDTH, WIDTH + 7])
def test_logits_of_another_width(width: int, options: dict[str, Any]) -> None:
    """Heads that are wider than the embeddings choose nothing that has none; narrow ones work."""
    logits = torch.zeros(3, width)
    logits[:, min(width, WIDTH) - 1] = 5
    logits[:, WIDTH:] = 9
    batch = [text(1, WIDTH - 1, width - 1, seed=1, **options) for _ in range(3)]
    found = tokens(sampler().choose(batch, logits))
    assert found == [found[0]] * 3
    assert found[0] < min(width, WIDTH)


def test_when_no_token_is_left_the_request_is_told() -> None:
    blocked = text(1, ends=frozenset(range(WIDTH)), min_new_tokens=1)
    error, other = sampler().choose([blocked, text(1)], random_logits(2))
    assert isinstance(error, InvalidRequest)
    assert isinstance(other, Choice)


def test_a_constraint_that_is_not_offered_is_told() -> None:
    (error,) = sampler().choose([text(1, constraint=Constraint("regex", ("a",)))], random_logits(1))
    assert isinstance(error, InvalidRequest)
    assert error.violations[0].field == "sampling.regex"


def test_what_the_model_suppresses() -> None:
    logits = random_logits(1)
    first, second, third = logits[0].topk(3).indices.tolist()
    found, sequence = sampler(suppressed=(first,), suppressed_first=(second,)), text(1)
    for wanted in (third, second, second):
        sequence.ids += tokens(found.choose([sequence], logits))
        assert sequence.ids[-1] == wanted


def test_nothing_is_kept_after_release() -> None:
    found = sampler()
    batch = [text(1, seed=1, **options) for options in KINDS]
    for sequence, token in zip(
        batch, tokens(found.choose(batch, random_logits(len(batch)))), strict=True
    ):
        sequence.ids.append(token)
    assert len(found) == len(batch)
    for sequence in itertools.chain(batch, batch):
        found.release(sequence)
    assert len(found) == 0


def test_a_penalty_follows_the_answer() -> None:
    """The largest logit is left as soon as the penalty costs more than it brings."""
    logits = torch.zeros(1, WIDTH)
    logits[0, 5], logits[0, 6] = 3.5, 1.6
    sequence, found = text(5, 5, 5, frequency_penalty=1.0), sampler()
    for _ in range(5):
        sequence.ids += tokens(found.choose([sequence], logits))
    assert sequence.ids[3:] == [5, 5, 6, 5, 6]


def test_the_same_sampling_on_two_texts_counts_apart() -> None:
    found, sampling = sampler(), Sampling(9, no_repeat_ngram=1)
    logits = random_logits(1).expand(2, -1)
    best = logits[0].topk(2).indices.tolist()
    batch = [
        DecoderSequence(Tokens((best[0],)), sampling),
        DecoderSequence(Tokens((WIDTH - 1,)), replace(sampling)),
    ]
    assert tokens(found.choose(batch, logits)) == [best[1], best[0]]
