"""A text on slots is what transformers' `generate` makes of it, whatever happens beside it."""

import random

import pytest

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
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native import rows
from lepton_worker.backends.native.decoder import SlotDecoder

pytestmark = pytest.mark.component

FAMILIES = list(CONFIGS)
NEW = 8


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [1, 3, LONGEST])
def test_alone_in_chunks(family: str, chunk: int) -> None:
    prompt = tokens(21, seed=1)
    text = sequence(prompt, NEW)
    finish(decoder(family), [text], chunk)
    assert made(text) == expected(stock(family), prompt, NEW)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk", [3, LONGEST])
def test_side_by_side_with_others_that_join_and_leave(family: str, chunk: int) -> None:
    ours = decoder(family, slots=3)
    prompts = [tokens(count, seed=count) for count in (30, 4, 17, 1, 45, 9)]
    counts = [5, 12, 1, 9, 3, 7]
    waiting = [sequence(*item) for item in zip(prompts, counts, strict=True)]
    texts = list(waiting)
    known: dict[DecoderSequence, int] = {}
    for step in range(200):
        if waiting and len(known) < 3 and step % 2 == 0:
            known[waiting[0]] = ours.begin(waiting[0])
            waiting.pop(0)
        spans = [Span(text, min(chunk, len(text.ids) - known[text])) for text in known]
        for item, result in zip(spans, ours.step(spans), strict=True):
            assert isinstance(result, Progress), result
            known[item.sequence] += item.count
            if len(made(item.sequence)) == item.sequence.sampling.max_new_tokens:
                ours.release(item.sequence)
                del known[item.sequence]
    assert not known
    for text, prompt, count in zip(texts, prompts, counts, strict=True):
        assert made(text) == expected(stock(family), prompt, count)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_step_has_one_forward_and_one_choice(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, sampler = build(CONFIGS[family]()), Greedy()
    forwards: list[int] = []
    module.register_forward_pre_hook(
        lambda *given: forwards.append(given[2]["input_ids"].shape[1]), with_kwargs=True
    )
    ours = SlotDecoder(loaded(module), 4, 0, sampler)
    forwards.clear()
    first, second, third = (sequence(tokens(count, seed=count)) for count in (6, 7, 20))
    for text in (first, second, third):
        ours.begin(text)
    ours.step([Span(first, 6), Span(second, 7)])
    ours.step([Span(second, 1), Span(third, 10), Span(first, 1)])
    assert forwards == [13, 12]
    assert sampler.calls == [2, 2]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("recomputed", [False, True])
def test_evicted_and_begun_again_at_every_point(family: str, recomputed: bool) -> None:
    prompt, other = tokens(20, seed=3), tokens(40, seed=4)
    # Room for the longer of the two: what one leaves behind has to make way for the other.
    ours = decoder(family, slots=1, cache_tokens=41 if recomputed else 0)
    text, reused = sequence(prompt, NEW), []
    for _ in range(NEW):
        known = ours.begin(text)
        reused.append(known)
        rest = len(text.ids) - known
        for count in (rest // 2, rest - rest // 2):
            if count:
                ours.step([Span(text, count)])
        ours.evict(text)
        finish(ours, [sequence(other, 1)])
    ours.release(text)
    assert made(text) == expected(stock(family), prompt, NEW)
    assert reused[1:] == [0] * (NEW - 1) if recomputed else all(reused[1:])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_is_used_again_from_ended_and_from_running_texts(family: str) -> None:
    ours, system = decoder(family), tokens(20, seed=5)
    prompts = [[*system, *tokens(count, seed=count)] for count in (5, 9, 14)]
    ended, running, third = (sequence(prompt, NEW) for prompt in prompts)
    finish(ours, [ended])
    assert ours.begin(running) == 20
    ours.step([Span(running, 9)])
    ours.step([Span(running, 1)])
    follow = sequence(running.ids[:-1], 4)
    assert ours.begin(follow) == len(follow.ids) - 1
    ours.evict(running)
    ours.evict(follow)
    finish(ours, [running, follow, third])
    for text, prompt in ((ended, prompts[0]), (running, prompts[1]), (third, prompts[2])):
        assert made(text) == expected(stock(family), prompt, NEW)
    assert made(follow) == expected(stock(family), list(follow.prompt.ids), 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_slots_filled_to_their_last_token(family: str) -> None:
    ours = decoder(family, slots=3)
    prompts = [tokens(LONGEST - NEW + 1, seed=seed) for seed in (6, 7, 8)]
    texts = [sequence(prompt, NEW) for prompt in prompts]
    finish(ours, texts, chunk=50)
    for text, prompt in zip(texts, prompts, strict=True):
        assert len(text.ids) == LONGEST + 1
        assert made(text) == expected(stock(family), prompt, NEW)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_long_and_short_texts_in_one_call(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CALL", 1 << 40)
    config = CONFIGS[family]()
    config.max_position_embeddings = 1500
    if family == "mistral":
        config.sliding_window = 600
    ours = SlotDecoder(loaded(build(config), 1500), 4, 0, Greedy())
    prompts = [tokens(count, seed=count) for count in (3, 1300, 700, 40)]
    texts = [sequence(prompt, 4) for prompt in prompts]
    finish(ours, texts)
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(build(config), prompt, 4)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_large_chunks_in_blocks_of_rows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_worker.backends.native.parts.SCORES", 1000)
    prompt = tokens(90, seed=9)
    text = sequence(prompt, NEW)
    finish(decoder(family), [text], chunk=40)
    assert made(text) == expected(stock(family), prompt, NEW)


def test_random_joins_evictions_and_releases_leave_nothing_behind() -> None:
    drawn = random.Random(1)
    ours = decoder("llama", slots=4, cache_tokens=300)
    running: dict[DecoderSequence, int] = {}
    evicted: list[DecoderSequence] = []
    ended = 0
    for seed in range(300):
        act = drawn.choice(["begin", *["step"] * 9, "evict"] + ["release"] * (seed % 3 == 0))
        if act == "begin" and len(running) < 4:
            common = tokens(drawn.choice([0, 17, 30]), seed=0)
            text = sequence([*common, *tokens(drawn.randint(1, 20), seed)], 3)
            text = evicted.pop() if evicted and drawn.random() < 0.6 else text
            running[text] = ours.begin(text)
        elif act == "evict" and running:
            evicted.append(drawn.choice(list(running)))
            ours.evict(evicted[-1])
            del running[evicted[-1]]
        elif act == "release" and running:
            text = drawn.choice(list(running))
            ours.release(text)
            del running[text]
        elif act == "step":
            chosen = drawn.sample(list(running), drawn.randint(len(running) // 2, len(running)))
            rest = [len(one.ids) - running[one] for one in chosen]
            spans = [
                Span(one, drawn.randint((left + 1) // 2, left))
                for one, left in zip(chosen, rest, strict=True)
            ]
            for item, result in zip(spans, ours.step(spans), strict=True):
                assert isinstance(result, Progress), result
                text = item.sequence
                running[text] += item.count
                if len(made(text)) == 3:
                    assert made(text) == expected(stock("llama"), list(text.prompt.ids), 3)
                    ended += 1
                    ours.release(text)
                    del running[text]
        assert ours.held_tokens <= 300
        assert ours.running == len(running)
    assert ended > 10
    for text in [*running, *evicted]:
        ours.release(text)
    assert ours.running == 0
    assert ours.texts == 0
    # The next text has all the memory there is.
    finish(ours, [sequence(tokens(120, seed=99), 8)])
