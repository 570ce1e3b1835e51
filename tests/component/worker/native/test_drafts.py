"""Texts with guessed tokens are those without, whatever is guessed."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from lepton_testing.slot_decoders import (
    CONFIGS,
    LONGEST,
    VOCABULARY,
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
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.assistant import CATCH_UP, AssistantDrafter
from lepton_worker.backends.native.decoder import SlotDecoder
from lepton_worker.backends.speculation.drafting import Drafter, Drafting
from lepton_worker.backends.speculation.ngrams import NgramDrafter

pytestmark = pytest.mark.component

FAMILIES = ["llama", "qwen3", "gpt2", "mistral"]
NEW = 40
CHEAP = 0.05


def assistant(family: str, seed: int = 0, slots: int = 2) -> AssistantDrafter:
    """One like the model, or with other weights."""
    own = SlotDecoder(loaded(build(CONFIGS[family](), seed)), slots, 0, Greedy())
    return AssistantDrafter(own, VOCABULARY, LONGEST)


def guessing(family: str, drafter: Drafter, **options: Any) -> SlotDecoder:
    """A decoder that guesses, up to five tokens at a time."""
    ours = decoder(family, **options)
    method: Any = "ngram" if isinstance(drafter, NgramDrafter) else "assistant"
    ours.drafts = Drafting(drafter, method, 5, CHEAP)
    return ours


class Oracle:
    """Guesses the text itself, with mistakes at random places."""

    def __init__(self, family: str, mistakes: float = 0.3) -> None:
        self._module, self._mistakes = stock(family), mistakes
        self._drawn = random.Random(4)

    def draft(self, wanted: Sequence[tuple[DecoderSequence, int]]) -> list[list[int]]:
        """The right tokens, each wrong now and then, and not always as many as wanted."""
        return [self._one(item, self._drawn.randint(0, most)) for item, most in wanted]

    def _one(self, text: DecoderSequence, most: int) -> list[int]:
        if not most:
            return []
        whole = expected(self._module, text.prompt.ids, len(made(text)) + most)
        return [
            token if self._drawn.random() > self._mistakes else (token + 1) % VOCABULARY
            for token in whole[len(made(text)) :]
        ]

    def release(self, sequence: DecoderSequence) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize("family", FAMILIES)
def test_repetitive_and_other_texts_side_by_side(family: str) -> None:
    prompts = [tokens(10, seed=1) * 4, tokens(15, seed=2)]
    texts = [sequence(prompt, NEW) for prompt in prompts]
    progress = finish(guessing(family, NgramDrafter()), texts)
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(stock(family), prompt, NEW)
        written = [item.token for step in progress[text] for item in step.written]
        assert written == made(text)
        assert sum(step.drafted for step in progress[text])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("same", [True, False])
def test_with_an_assistant(family: str, same: bool) -> None:
    drafter = assistant(family, seed=0 if same else 1)
    prompts = [tokens(30, seed=3), tokens(9, seed=4)]
    texts = [sequence(prompt, NEW) for prompt in prompts]
    progress = finish(guessing(family, drafter), texts)
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(stock(family), prompt, NEW)
        drafted = sum(step.drafted for step in progress[text])
        accepted = sum(len(step.further) for step in progress[text])
        if same:
            assert accepted == drafted
            assert len(progress[text]) < NEW / 3
        else:
            assert accepted < drafted
    assert drafter._decoder.texts == drafter._decoder.running == 0


def test_an_assistant_reads_long_prompts_before_it_guesses() -> None:
    prompt = tokens(LONGEST - 20, seed=5)
    text = sequence(prompt, 12)
    [steps] = finish(guessing("llama", assistant("llama")), [text]).values()
    drafted = [step.drafted for step in steps]
    assert len(prompt) > CATCH_UP
    # The first token follows from the prompt, and with the next one the assistant reads on.
    assert drafted[:2] == [0, 0]
    assert drafted[2] > 0
    assert made(text) == expected(stock("llama"), prompt, 12)


def test_an_assistant_that_fails_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    drafter = assistant("llama", slots=1)
    ours = guessing("llama", drafter)
    texts = [sequence(tokens(9, seed=seed), NEW) for seed in (6, 7)]
    progress = finish(ours, texts)
    assert not any(step.drafted for steps in progress.values() for step in steps)
    assert sum("assistant failed" in line for line in caplog.messages) == 1
    assert drafter._decoder.running == 0
    for text, seed in zip(texts, (6, 7), strict=True):
        assert made(text) == expected(stock("llama"), tokens(9, seed=seed), NEW)


def test_an_assistant_that_does_not_know_a_token_guesses_nothing() -> None:
    drafter = assistant("llama")
    drafter._vocabulary = 100
    texts = [sequence([5, token, 6], 8) for token in (99, 100)]
    progress = finish(guessing("llama", drafter), texts)
    assert not any(step.drafted for step in progress[texts[1]])
    for text, token in zip(texts, (99, 100), strict=True):
        assert made(text) == expected(stock("llama"), [5, token, 6], 8)


def test_more_than_a_few_texts_run_without_guesses() -> None:
    ours = guessing("llama", assistant("llama"))
    texts = [sequence(tokens(9, seed=seed), count) for seed, count in ((1, 20), (2, 20), (3, 6))]
    progress = finish(ours, texts)
    assert [step.drafted for step in progress[texts[0]][:5]] == [0] * 5
    assert any(step.drafted for step in progress[texts[0]][6:])


@pytest.mark.parametrize(
    ("family", "cache_tokens"), [("llama", 0), ("llama", 70), ("gpt2", 70), ("gemma2", 0)]
)
def test_mistakes_leave_nothing_behind(family: str, cache_tokens: int) -> None:
    ours = guessing(family, Oracle(family), cache_tokens=cache_tokens)
    drawn = random.Random(5)
    # The second text begins with what the first leaves, of which some was guessed wrongly.
    prompt = tokens(20, seed=8)
    for _ in range(2):
        text = sequence(prompt, 12)
        other = sequence(tokens(5, seed=9), 20)
        known = {text: ours.begin(text), other: ours.begin(other)}
        while known:
            spans = [Span(item, len(item.ids) - known[item]) for item in known]
            for item, step in zip(spans, ours.step(spans), strict=True):
                assert isinstance(step, Progress), step
                one = item.sequence
                known[one] += item.count + len(step.further)
                assert known[one] == len(one.ids) - 1
                if len(made(one)) == one.sampling.max_new_tokens:
                    ours.release(one)
                    del known[one]
                elif drawn.random() < 0.3:
                    ours.evict(one)
                    known[one] = ours.begin(one)
            assert not cache_tokens or ours.held_tokens <= cache_tokens
        assert made(text) == expected(stock(family), prompt, 12)
        assert made(other) == expected(stock(family), tokens(5, seed=9), 20)
        prompt = text.ids[:-1]


def test_a_text_that_ends_early_ends_with_that_token() -> None:
    prompt = tokens(12, seed=11)
    whole = expected(stock("llama"), prompt, NEW)
    end = next(token for place, token in enumerate(whole) if place > 6)
    text = sequence(prompt, NEW, ends=frozenset({end}))
    ours = guessing("llama", assistant("llama"))
    known = ours.begin(text)
    while end not in made(text):
        [step] = ours.step([Span(text, len(text.ids) - known)])
        assert isinstance(step, Progress)
        known = len(text.ids) - 1
    ours.release(text)
    assert made(text) == whole[: whole.index(end) + 1]


class Bad:
    """Guesses a token whose numbers are none."""

    def draft(self, wanted: Sequence[tuple[DecoderSequence, int]]) -> list[list[int]]:
        """That token, first or behind another one."""
        return [[7, 8, 9][: max(most, 1)] for _, most in wanted]

    def release(self, sequence: DecoderSequence) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_guesses_that_overflow_harm_nobody(family: str) -> None:
    calm = [token for token in tokens(30, seed=12) if token not in (7, 8, 9)][:20]
    module = build(CONFIGS[family]())
    module.get_output_embeddings().weight = torch.nn.Parameter(
        module.get_output_embeddings().weight.detach().clone()
    )
    wanted = expected(module, calm, 12)
    assert 7 not in wanted
    with torch.no_grad():
        module.get_input_embeddings().weight[7] = math.inf
    ours = SlotDecoder(loaded(module), 2, 0, Greedy())
    ours.drafts = Drafting(Bad(), "assistant", 3, CHEAP)
    text, other = sequence(calm, 12), sequence(calm[:5], 12)
    progress = finish(ours, [text, other])
    assert made(text) == wanted
    assert len(made(other)) == 12
    assert not any(step.further for step in progress[text])
    # Nothing that is no number is left in the slots.
    again = sequence(calm[:3], 8)
    finish(ours, [again])
    assert made(again) == expected(stock(family), calm[:3], 8)
