"""A text on slots is what transformers' `generate` makes of it, whatever happens beside it."""

import pytest

from lepton_testing.decoder_scenes import (
    evicted_at_every_point,
    grown_to_the_longest,
    join_and_leave,
    random_life,
)
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
from lepton_worker.backends.base import Span
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
    join_and_leave(decoder(family, slots=3), stock(family), chunk)


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
    text = sequence(prompt, NEW)
    reused = evicted_at_every_point(ours, text, lambda _: other)
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
    grown_to_the_longest(decoder(family, slots=3), stock(family), NEW)


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
    ours = decoder("llama", slots=4, cache_tokens=300)
    random_life(ours, stock("llama"), common=[0, 17, 30], own=20, bound=300)
