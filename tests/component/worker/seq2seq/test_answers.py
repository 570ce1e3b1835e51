"""An answer is what transformers' `generate` makes of the text, whatever happens beside it."""

from typing import Any

import pytest

from lepton_testing.seq2seq import CONFIGS, TEXTS, build, expected, run, sequence, stock
from lepton_testing.slot_decoders import LONGEST, finish, made, tokens
from lepton_worker.backends.base import DecoderSequence, Progress, Span

pytestmark = pytest.mark.component

FAMILIES = list(CONFIGS)
NEW = 8


LITTLE = "native, little room"
FEW = ("t5", "bart", "m2m100")
BOTH = [
    pytest.param(TEXTS[name], family, id=f"{name}-{family}")
    for name in TEXTS
    for family in FAMILIES
    if name != LITTLE or family in FEW
]


@pytest.mark.parametrize(("open_texts", "family"), BOTH)
@pytest.mark.parametrize("chunk", [1, 9, LONGEST])
def test_alone_in_chunks(open_texts: Any, family: str, chunk: int) -> None:
    prompt = tokens(21, seed=1)
    text = sequence(stock(family), prompt, NEW)
    finish(open_texts(stock(family)), [text], chunk)
    assert made(text) == expected(stock(family), prompt, NEW)
    assert len(set(made(text))) > 1


@pytest.mark.parametrize(("open_texts", "family"), BOTH)
def test_side_by_side_with_others_that_join_and_leave(open_texts: Any, family: str) -> None:
    module = stock(family)
    ours = open_texts(module, slots=3)
    prompts = [tokens(count, seed=count) for count in (30, 4, 17, 1, 45, 9)]
    counts = [5, 12, 2, 9, 3, 30]
    texts = [sequence(module, *item) for item in zip(prompts, counts, strict=True)]
    waiting = list(texts)
    known: dict[DecoderSequence, int] = {}
    for step in range(200):
        if waiting and len(known) < 3 and step % 2 == 0:
            known[waiting[0]] = ours.begin(waiting[0])
            waiting.pop(0)
        spans = [Span(text, min(20, len(text.ids) - known[text])) for text in known]
        for item, result in zip(spans, ours.step(spans), strict=True):
            assert isinstance(result, Progress), result
            known[item.sequence] += item.count
            if len(made(item.sequence)) == item.sequence.sampling.max_new_tokens:
                ours.release(item.sequence)
                del known[item.sequence]
    assert not known
    for text, prompt, count in zip(texts, prompts, counts, strict=True):
        assert made(text) == expected(module, prompt, count)


@pytest.mark.parametrize(("open_texts", "family"), BOTH)
@pytest.mark.parametrize("chunk", [5, LONGEST])
def test_evicted_and_begun_again_at_every_point(open_texts: Any, family: str, chunk: int) -> None:
    module = stock(family)
    prompt, other = tokens(20, seed=3), tokens(40, seed=4)
    ours = open_texts(module, slots=1)
    text = sequence(module, prompt, NEW)
    for _ in range(NEW):
        known = ours.begin(text)
        assert known == 0
        while len(text.ids) > known:
            count = min(chunk, len(text.ids) - known)
            known += count
            if run(ours, Span(text, count)).token is not None:
                break
        ours.evict(text)
        finish(ours, [sequence(module, other, 1)])
    ours.release(text)
    assert made(text) == expected(module, prompt, NEW)


@pytest.mark.parametrize("open_texts", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("family", ["t5", "bart", "m2m100"])
def test_one_that_is_cancelled_leaves_the_others_alone(open_texts: Any, family: str) -> None:
    module = stock(family)
    ours = open_texts(module)
    prompts = [tokens(count, seed=count) for count in (9, 30, 12)]
    first, second, third = (sequence(module, prompt, NEW) for prompt in prompts)
    for text in (first, second):
        ours.begin(text)
    ours.step([Span(first, 9), Span(second, 30)])
    ours.step([Span(first, 1), Span(second, 1)])
    ours.release(second)
    ours.release(second)
    ours.begin(third)
    ours.step([Span(first, 1), Span(third, 12)])
    while len(made(third)) < NEW:
        ours.step([Span(text, 1) for text in (first, third) if len(made(text)) < NEW])
    assert made(first) == expected(module, prompts[0], NEW)
    assert made(third) == expected(module, prompts[2], NEW)


@pytest.mark.parametrize("open_texts", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("family", ["t5", "bart", "marian", "m2m100"])
def test_prompt_and_answer_of_full_length(open_texts: Any, family: str) -> None:
    prompt = tokens(LONGEST, seed=5)
    text = sequence(stock(family), prompt, LONGEST)
    finish(open_texts(stock(family)), [text])
    assert made(text) == expected(stock(family), prompt, LONGEST)


@pytest.mark.parametrize(
    "said",
    [
        {"eos_token_id": 5},
        {"suppress_tokens": [3, 4, 5, 6, 7, 8, 9, 10]},
        {"begin_suppress_tokens": list(range(3, 60))},
        {"begin_suppress_tokens": list(range(3, 60)), "forced_bos_token_id": 9},
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[token] for token in range(40, 80)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("open_texts", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_what_the_generation_config_asks_for(
    open_texts: Any, family: str, said: dict[str, Any]
) -> None:
    module = build(family, seed=2)
    for name, value in said.items():
        setattr(module.generation_config, name, value)
    for seed in range(4):
        prompt = tokens(11, seed)
        text = sequence(module, prompt, 16)
        ours = open_texts(module)
        known = ours.begin(text)
        while not set(made(text)) & text.sampling.ends and len(made(text)) < 16:
            count = len(text.ids) - known
            known += count
            run(ours, Span(text, count))
        assert made(text) == expected(module, prompt, 16)
