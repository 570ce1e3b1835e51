"""Which texts of an encoder-decoder are computed together, and that none sees another."""

import random
from typing import Any

import pytest
import torch

from lepton_testing.seq2seq import (
    TEXTS,
    build,
    expected,
    loaded,
    run,
    sequence,
    side_by_side,
    stock,
)
from lepton_testing.slot_decoders import finish, made, tokens
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native import seq2seq_parity
from lepton_worker.backends.native.seq2seq_positions import Positions
from lepton_worker.backends.sampling.sampler import Sampler
from lepton_worker.errors import DeviceLost, InternalError

pytestmark = pytest.mark.component

NEW = 6


def watched(module: Any) -> tuple[list[Any], list[Any]]:
    """Shapes of what the encoder, and the decoder, compute from now on."""
    read: list[Any] = []
    answered: list[Any] = []
    module.get_encoder().register_forward_pre_hook(
        lambda *given: read.append(tuple(given[2]["input_ids"].shape)), with_kwargs=True
    )
    module.register_forward_pre_hook(
        lambda *given: answered.append(tuple(given[2]["decoder_input_ids"].shape)),
        with_kwargs=True,
    )
    return read, answered


def test_one_forward_for_prompts_of_about_one_length_and_one_for_all_answers() -> None:
    module = build("bart", 4)
    ours = side_by_side(module, slots=5)
    texts = [sequence(module, tokens(count, seed=count), NEW) for count in (20, 4, 19, 4, 40)]
    read, answered = watched(module)
    for text in texts:
        ours.begin(text)
    ours.step([Span(text, len(text.prompt)) for text in texts])
    assert sorted(read) == [(1, 40), (2, 4), (2, 20)]
    answered.clear()
    ours.step([Span(text, 1) for text in texts])
    ours.step([Span(text, 1) for text in texts[1:]])
    assert answered == [(5, 1), (4, 1)]
    for text in texts[1:]:
        ours.release(text)
    assert len(run(ours, Span(texts[0], 1)).prompt) == 0
    assert answered[-1] == (1, 1)
    for text in texts:
        prompt = list(text.prompt.ids)
        assert made(text) == expected(stock("bart"), prompt, NEW)[: len(made(text))]


def test_no_more_room_is_taken_than_there_is() -> None:
    module, room = stock("t5"), 120
    ours = side_by_side(module, slots=6, room=room)
    prompts = [tokens(count, seed=count) for count in (10, 50, 12, 9, 30, 11)]
    texts = [sequence(module, prompt, 20) for prompt in prompts]
    for text in texts:
        ours.begin(text)
    ours.step([Span(text, len(text.prompt)) for text in texts])
    sizes = []
    while len(made(texts[0])) < 20:
        ours.step([Span(text, 1) for text in texts])
        assert ours.held_tokens <= room
        sizes.append(ours.batched)
    assert max(sizes) > min(sizes) > 0
    for text, prompt in zip(texts, prompts, strict=True):
        assert made(text) == expected(module, prompt, 20)


@pytest.mark.parametrize("family", ["t5", "bart", "m2m100"])
@pytest.mark.parametrize("room", [150, 1 << 20])
def test_random_joins_evictions_and_releases(family: str, room: int) -> None:
    drawn, module = random.Random(1), stock(family)
    ours = side_by_side(module, slots=4, room=room)
    running: dict[DecoderSequence, int] = {}
    evicted: list[DecoderSequence] = []
    ended = 0
    for seed in range(250):
        act = drawn.choice(["begin"] * 2 + ["step"] * 9 + ["evict"] + ["release"] * (seed % 3 == 0))
        if act == "begin" and len(running) < 4:
            text = sequence(module, tokens(drawn.randint(1, 40), seed), drawn.randint(1, 9))
            text = evicted.pop() if evicted and drawn.random() < 0.6 else text
            running[text] = ours.begin(text)
        elif act in ("evict", "release") and running:
            text = drawn.choice(list(running))
            evicted += [text] if act == "evict" else []
            (ours.evict if act == "evict" else ours.release)(text)
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
                if len(made(text)) == text.sampling.max_new_tokens:
                    prompt = list(text.prompt.ids)
                    assert made(text) == expected(module, prompt, len(made(text)))
                    ended += 1
                    ours.release(text)
                    del running[text]
        assert ours.held_tokens <= room
    assert ended > 10


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_text_that_breaks_leaves_the_others_alone(family: str) -> None:
    module = build(family, 4)
    ours = side_by_side(module, slots=3)
    prompts = [tokens(count, seed=count) for count in (20, 30, 9)]
    first, broken, third = (sequence(module, prompt, NEW) for prompt in prompts)
    for text in (first, broken):
        ours.begin(text)
    ours.step([Span(first, 20), Span(broken, 30)])
    # As if its numbers had left the range of the dtype.
    with torch.inference_mode():
        for tensor in ours.tensors_of(broken):
            tensor.fill_(float("nan"))
    fine, wrong = ours.step([Span(first, 1), Span(broken, 1)])
    assert isinstance(fine, Progress)
    assert isinstance(wrong, InternalError)
    ours.release(broken)
    ours.begin(third)
    ours.step([Span(first, 1), Span(third, 9)])
    for _ in range(NEW - 1):
        ours.step([Span(text, 1) for text in (first, third) if len(made(text)) < NEW])
    assert made(first) == expected(stock(family), prompts[0], NEW)
    assert made(third) == expected(stock(family), prompts[2], NEW)


def test_a_text_for_which_no_token_can_be_chosen_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = stock("bart")
    ours = side_by_side(module)
    texts = [sequence(module, tokens(9, seed), NEW) for seed in range(3)]
    for text in texts:
        ours.begin(text)
    ours.step([Span(text, 9) for text in texts])
    choose = Sampler.choose

    def failing(self: Sampler, sequences: Any, logits: torch.Tensor) -> Any:
        if texts[1] in sequences:
            raise RuntimeError("this text cannot be followed")
        return choose(self, sequences, logits)

    monkeypatch.setattr(Sampler, "choose", failing)
    first, wrong, third = ours.step([Span(text, 1) for text in texts])
    assert isinstance(first, Progress)
    assert isinstance(wrong, InternalError)
    assert isinstance(third, Progress)
    ours.release(texts[1])
    for _ in range(NEW - 2):
        ours.step([Span(text, 1) for text in (texts[0], texts[2])])
    for text in (texts[0], texts[2]):
        assert made(text) == expected(module, list(text.prompt.ids), NEW)


def test_a_lost_device_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module = stock("t5")
    ours = side_by_side(module)
    texts = [sequence(module, tokens(9, seed), NEW) for seed in range(2)]
    for text in texts:
        ours.begin(text)
    ours.step([Span(text, 9) for text in texts])
    calls = []

    def failing(self: Any, **given: Any) -> Any:
        calls.append(given)
        raise torch.AcceleratorError("the device is gone")

    monkeypatch.setattr(type(module), "forward", failing)
    results = ours.step([Span(text, 1) for text in texts])
    assert all(isinstance(result, DeviceLost) for result in results)
    assert len(calls) == 1


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("target", [9, 2])
def test_a_decoder_that_begins_with_the_language_begins_with_the_one_asked_for(
    name: str, target: int
) -> None:
    module = stock("mbart")
    ours = TEXTS[name](module, languages={"en": 2, "de": 9})
    prompt = tokens(12, seed=1)
    texts = [sequence(module, prompt, NEW, forced=(target,), logprobs=1) for _ in range(2)]
    progress = finish(ours, texts)
    for text in texts:
        answer = expected(module, prompt, NEW - 1, decoder_start_token_id=target)
        assert made(text) == [target, *answer]
        assert [item.logprob is None for item in progress[text] if item.token is not None] == [
            False
        ] * NEW


@pytest.mark.parametrize("family", ["t5", "bart", "m2m100"])
def test_the_check_at_start_finds_wrong_numbers(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = loaded(build(family, 4))
    assert seq2seq_parity.check(known) is None
    monkeypatch.setattr(Positions, "set", lambda self, lengths: None)
    found = seq2seq_parity.check(known)
    assert (found is None) == (family == "t5")
    assert found is None or "side by side differ from its own by" in found
    monkeypatch.setattr(
        "lepton_worker.backends.native.seq2seq_cache.Rows.masks", lambda self: (None, None)
    )
    assert seq2seq_parity.check(known) is not None


def test_nothing_is_left_behind() -> None:
    module = stock("bart")
    ours = side_by_side(module)
    texts = [sequence(module, tokens(9, seed), NEW, temperature=1.0) for seed in range(4)]
    finish(ours, texts)
    assert (ours.batched, ours.held_tokens, ours.texts) == (0, 0, 0)
    before = len(module.model.decoder.embed_positions._forward_hooks)
    ours.close()
    assert len(module.model.decoder.embed_positions._forward_hooks) == before - 1


def test_a_seed_gives_the_same_answer_alone_and_beside_others() -> None:
    module = stock("t5")
    asked: dict[str, Any] = {"temperature": 1.2, "top_k": 20, "seed": 5}
    alone = sequence(module, tokens(9, 1), 12, **asked)
    finish(side_by_side(module), [alone])
    beside = [sequence(module, tokens(9 + n, 1 + n), 12, **asked) for n in range(3)]
    finish(side_by_side(module), beside)
    assert made(beside[0]) == made(alone)
    assert made(alone) != expected(module, tokens(9, 1), 12)
