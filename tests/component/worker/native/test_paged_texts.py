"""A text in pages is what transformers' `generate` makes of it, whatever happens beside it."""

import math

import pytest
import torch

from lepton_testing.decoder_scenes import (
    evicted_at_every_point,
    grown_to_the_longest,
    join_and_leave,
    random_life,
    spoilt_by_a_token,
)
from lepton_testing.paged_decoders import PAGE, PAGED, paged, stock
from lepton_testing.slot_decoders import (
    LONGEST,
    Greedy,
    build,
    expected,
    finish,
    loaded,
    made,
    sequence,
    tokens,
)
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.paged.decoder import PagedDecoder, Paging
from lepton_worker.errors import OutOfMemory
from lepton_worker.request import Sampling, TokenLogprob, Tokens

pytestmark = pytest.mark.component

NEW = 8


@pytest.mark.parametrize("family", PAGED)
@pytest.mark.parametrize("chunk", [3, LONGEST])
def test_alone_in_chunks(family: str, chunk: int) -> None:
    prompt = tokens(21, seed=1)
    text = sequence(prompt, NEW)
    finish(paged(family), [text], chunk)
    assert made(text) == expected(stock(family), prompt, NEW)


@pytest.mark.parametrize("family", PAGED)
@pytest.mark.parametrize("chunk", [5, LONGEST])
def test_side_by_side_with_others_that_join_and_leave(family: str, chunk: int) -> None:
    join_and_leave(paged(family, slots=3), stock(family), chunk)


@pytest.mark.parametrize("length", [PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 1, 3 * PAGE])
@pytest.mark.parametrize("chunk", [PAGE - 1, PAGE, PAGE + 1])
def test_prompts_and_pieces_that_end_at_the_edges_of_pages(length: int, chunk: int) -> None:
    prompts = [tokens(length, seed=seed) for seed in (1, 2)]
    texts = [sequence(prompt, PAGE + 2) for prompt in prompts]
    finish(paged("llama"), texts, chunk)
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(stock("llama"), prompt, PAGE + 2)


@pytest.mark.parametrize("family", PAGED)
@pytest.mark.parametrize("recomputed", [False, True])
def test_evicted_and_begun_again_at_every_point(family: str, recomputed: bool) -> None:
    prompt, other = tokens(20, seed=3), tokens(6 * PAGE - 1, seed=4)
    # Room for the longer of the two: what one leaves behind has to make way for the other.
    ours = paged(family, slots=1, cache_tokens=6 * PAGE if recomputed else 0)
    text = sequence(prompt, NEW)
    reused = evicted_at_every_point(ours, text, lambda times: [*other, times])
    assert made(text) == expected(stock(family), prompt, NEW)
    assert reused[1:] == [0] * (NEW - 1) if recomputed else all(reused[1:])


@pytest.mark.parametrize("family", PAGED)
@pytest.mark.parametrize("shared", [2 * PAGE, 20])
def test_a_prefix_is_used_again_from_ended_and_from_running_texts(family: str, shared: int) -> None:
    ours, system = paged(family), tokens(shared, seed=5)
    prompts = [[*system, *tokens(count, seed=count)] for count in (5, 9, 14)]
    ended, running, third = (sequence(prompt, NEW) for prompt in prompts)
    finish(ours, [ended])
    assert ours.begin(running) == shared
    ours.step([Span(running, 9)])
    ours.step([Span(running, 1)])
    follow = sequence(running.ids[:-1], 4)
    assert ours.begin(follow) == len(follow.ids) - 1
    ours.step([Span(follow, 1), Span(running, 1)])
    ours.evict(running)
    ours.evict(follow)
    finish(ours, [running, third])
    for text, prompt in ((ended, prompts[0]), (running, prompts[1]), (third, prompts[2])):
        assert made(text) == expected(stock(family), prompt, NEW)
    finish(ours, [follow])
    assert made(follow) == expected(stock(family), list(follow.prompt.ids), 4)


def test_answers_to_one_prompt_share_its_pages_and_write_to_their_own() -> None:
    class Lasting(Greedy):
        """Answers that differ: the first token is the one of a rank of its own."""

        def choose(self, sequences, logits):  # type: ignore[no-untyped-def]
            ranked = logits.argsort(-1, descending=True)
            for row, text in enumerate(sequences):
                if not made(text):
                    logits[row, ranked[row, ranks[text]]] = math.inf
            return super().choose(sequences, logits)

    prompt, module = tokens(5 * PAGE + 3, seed=6), build(PAGED["llama"]())
    ours = PagedDecoder(loaded(module), 4, 0, Lasting(), Paging(PAGE))
    texts = [sequence(prompt, NEW) for _ in range(4)]
    ranks = {text: rank for rank, text in enumerate(texts)}
    ours.begin(texts[0])
    ours.step([Span(texts[0], len(prompt))])
    held = ours.held_tokens
    assert [ours.begin(text) for text in texts[1:]] == [len(prompt) - 1] * 3
    assert ours.held_tokens == held + 3 * PAGE
    for _ in range(NEW - 1):
        ours.step([Span(text, 1) for text in texts])
    ours.step([Span(text, 1) for text in texts[1:]])
    assert len({text.ids[len(prompt)] for text in texts}) == 4
    for text in texts:
        first = [*prompt, text.ids[len(prompt)]]
        assert made(text)[1:] == expected(stock("llama"), first, NEW - 1)


@pytest.mark.parametrize("family", PAGED)
def test_texts_of_the_longest_length(family: str) -> None:
    grown_to_the_longest(paged(family, slots=3), stock(family), NEW)


@pytest.mark.parametrize("page", [1, 256])
def test_pages_of_one_token_and_pages_longer_than_texts(page: int) -> None:
    prompts = [tokens(count, seed=count) for count in (3, 40)]
    texts = [sequence(prompt, NEW) for prompt in prompts]
    finish(paged("llama", page=page), texts, chunk=7)
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(stock("llama"), prompt, NEW)


@pytest.mark.parametrize("chunk", [4, LONGEST])
def test_a_text_whose_numbers_overflow_fails_alone_and_leaves_nothing_in_its_pages(
    chunk: int,
) -> None:
    module = build(PAGED["llama"]())
    with torch.no_grad():
        module.get_input_embeddings().weight[7] = math.inf
    # Room for two texts and no more, so that the next one gets the pages of the spoilt one.
    ours = PagedDecoder(loaded(module), 2, 8 * PAGE, Greedy(), Paging(PAGE))
    spoilt_by_a_token(ours, stock("llama"), 7, chunk)


def test_a_text_without_memory_fails_alone() -> None:
    ours = paged("llama", slots=2, cache_tokens=2 * PAGE)
    fine, long = sequence(tokens(9, seed=1), 4), sequence(tokens(60, seed=2), 4)
    ours.begin(long)
    ours.begin(fine)
    results = ours.step([Span(long, 60), Span(fine, 9)])
    assert isinstance(results[0], OutOfMemory)
    ours.release(long)
    for _ in range(3):
        ours.step([Span(fine, 1)])
    assert made(fine) == expected(stock("llama"), tokens(9, seed=1), 4)


def test_log_probabilities_of_a_prompt_go_on_through_evictions() -> None:
    prompt = tokens(30, seed=8)
    text = DecoderSequence(Tokens(tuple(prompt)), Sampling(1, logprobs=0, prompt_logprobs=True))
    ours = paged("qwen2")
    found: list[TokenLogprob] = []
    for count in (12, 11, 30):
        known = ours.begin(text)
        (result,) = ours.step([Span(text, min(count, 30 - known))])
        assert isinstance(result, Progress)
        found += result.prompt
        ours.evict(text)
    with torch.inference_mode():
        logits = stock("qwen2")(torch.tensor([prompt])).logits[0].log_softmax(-1)
    own = [float(logits[place, prompt[place + 1]]) for place in range(29)]
    assert [item.token for item in found] == prompt[1:]
    assert [item.logprob for item in found] == pytest.approx(own, abs=1e-4)


def test_random_joins_evictions_and_releases_leave_nothing_behind() -> None:
    ours = paged("mistral", slots=4, cache_tokens=160)
    assert random_life(ours, stock("mistral"), common=[0, 17, 32], own=7) > 5
