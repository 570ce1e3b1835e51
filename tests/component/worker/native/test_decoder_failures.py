"""What fails on slots fails alone; the others go on."""

import math
from typing import Any

import pytest
import torch

from lepton_testing.decoder_scenes import spoilt_by_a_token
from lepton_testing.slot_decoders import (
    CONFIGS,
    LONGEST,
    Greedy,
    build,
    decoder,
    expected,
    finish,
    loaded,
    made,
    sequence,
    stock,
    tokens,
)
from lepton_worker.backends.base import Progress, Span
from lepton_worker.backends.native.decoder import SlotDecoder
from lepton_worker.backends.native.packed import Work, sound
from lepton_worker.backends.native.prefix import Slot
from lepton_worker.errors import InternalError, OutOfMemory
from lepton_worker.request import TokenLogprob

pytestmark = pytest.mark.component

SMALL: dict[str, Any] = {"vocab_size": 120, "hidden_size": 32}


@pytest.mark.parametrize("chunk", [4, LONGEST])
def test_a_text_whose_numbers_overflow_fails_alone_and_leaves_nothing_in_its_slot(
    chunk: int,
) -> None:
    module = build(CONFIGS["llama"]())
    with torch.no_grad():
        module.get_input_embeddings().weight[7] = math.inf
    ours = SlotDecoder(loaded(module), 2, 0, Greedy())
    spoilt_by_a_token(ours, stock("llama"), 7, chunk)


@pytest.mark.parametrize(
    ("raised", "found"), [(MemoryError(), OutOfMemory), (ValueError("oops"), InternalError)]
)
def test_a_step_that_raises_is_done_again_text_by_text(
    raised: Exception, found: type[Exception]
) -> None:
    def begin_segments(segments: list[tuple[str, int]], kept: list[int] | None) -> None:
        if any(adapter == "bad" for adapter, _ in segments):
            raise raised

    ours = decoder("llama", begin_segments=begin_segments)
    prompts = [tokens(9, seed=seed) for seed in range(3)]
    texts = [
        sequence(prompt, 3, adapter)
        for prompt, adapter in zip(prompts, ("", "bad", "good"), strict=True)
    ]
    for text in texts:
        ours.begin(text)
    results = ours.step([Span(text, 9) for text in texts])
    assert isinstance(results[1], found)
    ours.release(texts[1])
    for _ in range(2):
        ours.step([Span(texts[0], 1), Span(texts[2], 1)])
    for place in (0, 2):
        assert made(texts[place]) == expected(stock("llama"), prompts[place], 3)


def test_choosing_that_raises_is_done_again_text_by_text() -> None:
    class Picky(Greedy):
        def choose(self, sequences: Any, logits: torch.Tensor) -> Any:
            if any(one.adapter == "bad" for one in sequences):
                raise ValueError("no choice")
            return super().choose(sequences, logits)

    ours = SlotDecoder(loaded(build(CONFIGS["llama"]())), 2, 0, Picky())
    fine, bad = sequence(tokens(5, seed=1), 1), sequence(tokens(5, seed=2), 1, "bad")
    ours.begin(fine)
    ours.begin(bad)
    results = ours.step([Span(bad, 5), Span(fine, 5)])
    assert isinstance(results[0], InternalError)
    assert made(fine) == expected(stock("llama"), tokens(5, seed=1), 1)


def test_adapters_are_announced_in_the_order_of_the_rows() -> None:
    told: list[tuple[list[tuple[str, int]], list[int] | None]] = []
    ours = decoder("llama", begin_segments=lambda *given: told.append(given))
    names = ("b", "", "b", "a")
    texts = [sequence(tokens(5, seed=seed), adapter=name) for seed, name in enumerate(names)]
    for text in texts:
        ours.begin(text)
    told.clear()
    ours.step([Span(text, 5) for text in texts[:3]])
    ours.step([*(Span(text, 1) for text in texts[:3]), Span(texts[3], 5)])
    ours.step([Span(text, 1) for text in texts])
    assert told == [
        ([("", 5), ("b", 10)], [4, 9, 14]),
        ([("", 1), ("b", 2), ("a", 5)], [0, 1, 2, 7]),
        ([("", 1), ("a", 1), ("b", 2)], None),
    ]


def test_a_prefix_of_another_adapter_is_not_used() -> None:
    ours, prompt = decoder("llama"), tokens(30, seed=1)
    finish(ours, [sequence(prompt, 2, "a")])
    assert ours.begin(sequence(prompt, 2, "b")) == 0
    assert ours.begin(sequence(prompt, 2, "a")) == 29


def test_what_an_adapter_computed_is_not_used_once_it_is_another() -> None:
    ours, prompt = decoder("llama"), tokens(30, seed=1)
    for adapter in ("a", "b"):
        finish(ours, [sequence(prompt, 2, adapter)])
    ours.forget_adapter("a")
    assert ours.begin(sequence(prompt, 2, "a")) == 0
    assert ours.begin(sequence(prompt, 2, "b")) == 29


def test_an_error_in_place_of_a_choice_is_that_of_its_text_alone() -> None:
    class Refusing(Greedy):
        def choose(self, sequences: Any, logits: torch.Tensor) -> Any:
            refused = OutOfMemory("none left")
            choices = super().choose(sequences, logits)
            pairs = zip(sequences, choices, strict=True)
            return [refused if one.adapter == "bad" else choice for one, choice in pairs]

    ours = SlotDecoder(loaded(build(CONFIGS["llama"]())), 2, 0, Refusing())
    fine, bad = sequence(tokens(5, seed=1), 1), sequence(tokens(5, seed=2), 1, "bad")
    ours.begin(fine)
    ours.begin(bad)
    results = ours.step([Span(bad, 5), Span(fine, 5)])
    assert isinstance(results[0], OutOfMemory)
    assert made(bad) == []
    assert made(fine) == expected(stock("llama"), tokens(5, seed=1), 1)


def test_large_numbers_in_half_precision_are_no_overflow() -> None:
    states = torch.full((1, 4, 2, 64), 500.0, dtype=torch.float16)
    work = Work(0, sequence(tokens(2, seed=1)), Slot(0), 0, 2, 1)
    assert sound([work], torch.zeros(1, 3), (states, states)) == [True]
    states[0, 1, 0, 5] = math.inf
    assert sound([work], torch.zeros(1, 3), (states, states)) == [False]


def test_more_texts_than_slots_are_refused() -> None:
    ours = decoder("llama", slots=2)
    for seed in range(2):
        ours.begin(sequence(tokens(3, seed)))
    with pytest.raises(InternalError, match="2 of 2 slots"):
        ours.begin(sequence(tokens(3, seed=9)))


def test_a_text_that_outgrows_the_memory_fails_alone_and_goes_on_once_there_is_some() -> None:
    ours = decoder("llama", slots=2, cache_tokens=50)
    first, second = sequence(tokens(24, seed=1), 12), sequence(tokens(24, seed=2), 12)
    ours.begin(first)
    ours.begin(second)
    ours.step([Span(first, 24), Span(second, 24)])
    ours.step([Span(first, 1), Span(second, 1)])
    fine, full = ours.step([Span(first, 1)])[0], ours.step([Span(second, 1)])[0]
    assert isinstance(fine, OutOfMemory)
    assert isinstance(full, OutOfMemory)
    ours.evict(second)
    assert isinstance(ours.step([Span(first, 1)])[0], Progress)
    ours.release(first)
    finish(ours, [second])
    assert made(second) == expected(stock("llama"), tokens(24, seed=2), 12)


def test_steps_that_cannot_be_are_answered_so() -> None:
    ours, text = decoder("llama"), sequence(tokens(3, seed=1))
    assert isinstance(ours.step([Span(text, 1)])[0], InternalError)
    ours.begin(text)
    assert isinstance(ours.step([Span(text, 4)])[0], InternalError)
    ours.release(text)
    ours.release(text)


@pytest.mark.parametrize("chunk", [1, 3, LONGEST])
@pytest.mark.parametrize("evicted", [None, 0, 7, 20])
def test_every_token_of_a_prompt_is_reported_once(chunk: int, evicted: int | None) -> None:
    ours, prompt = decoder("llama"), tokens(22, seed=3)
    finish(ours, [sequence(prompt, 1)])
    text = sequence(prompt, 2, prompt_logprobs=True, logprobs=2)
    known = ours.begin(text)
    found: list[TokenLogprob] = []
    while len(made(text)) < 2:
        if evicted is not None and known >= evicted:
            ours.evict(text)
            known, evicted = ours.begin(text), None
        count = min(chunk, len(text.ids) - known)
        result = ours.step([Span(text, count)])[0]
        assert isinstance(result, Progress)
        known += count
        found += result.prompt
    with torch.inference_mode():
        rows = stock("llama")(torch.tensor([prompt])).logits[0].log_softmax(-1)
    assert [item.token for item in found] == prompt[1:]
    for row, item in zip(rows, found, strict=False):
        assert item.logprob == pytest.approx(float(row[item.token]), abs=1e-4)
        assert [token for token, _ in item.top] == row.topk(2).indices.tolist()


def test_a_prompt_alone_chooses_nothing() -> None:
    ours, text = decoder("llama"), sequence(tokens(5, seed=1), 0)
    ours.begin(text)
    assert ours.step([Span(text, 5)]) == [Progress(None)]
    assert len(text.ids) == 5
