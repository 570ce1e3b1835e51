"""What happens to texts of a decoder, wherever their state is kept: in slots or in pages."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from lepton_testing.slot_decoders import LONGEST, expected, finish, made, sequence, tokens
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.backends.native.decoder import TextDecoder
from lepton_worker.errors import InternalError


def join_and_leave(ours: TextDecoder, stock: Any, chunk: int) -> None:
    """Six texts on three places, one after the other; each is what `stock` generates alone."""
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
        assert made(text) == expected(stock, prompt, count)


def evicted_at_every_point(
    ours: TextDecoder, text: DecoderSequence, other: Callable[[int], Sequence[int]]
) -> list[int]:
    """Evict a text behind each of its tokens, and let another prompt have its place.

    `other` is told how often that was. Returns what the text found of itself each time.
    """
    reused: list[int] = []
    for _ in range(text.sampling.max_new_tokens):
        known = ours.begin(text)
        reused.append(known)
        rest = len(text.ids) - known
        for count in (rest // 2, rest - rest // 2):
            if count:
                ours.step([Span(text, count)])
        ours.evict(text)
        finish(ours, [sequence(list(other(len(reused))), 1)])
    ours.release(text)
    return reused


def grown_to_the_longest(ours: TextDecoder, stock: Any, new: int) -> None:
    """Three texts side by side that end with the last token that there may be."""
    prompts = [tokens(LONGEST - new + 1, seed=seed) for seed in (6, 7, 8)]
    texts = [sequence(prompt, new) for prompt in prompts]
    finish(ours, texts, chunk=50)
    for text, prompt in zip(texts, prompts, strict=True):
        assert len(text.ids) == LONGEST + 1
        assert made(text) == expected(stock, prompt, new)


def spoilt_by_a_token(ours: TextDecoder, stock: Any, spoilt: int, chunk: int) -> None:
    """The numbers of one text of two overflow at a token; the next text takes its place."""
    calm = [token for token in tokens(40, seed=1) if token != spoilt][:30]
    fine, bad = sequence(calm), sequence([*calm[:10], spoilt, *calm[:19]])
    ours.begin(bad)
    ours.begin(fine)
    results = ours.step([Span(bad, chunk * 3 if chunk == 4 else 30), Span(fine, 30)])
    assert isinstance(results[0], InternalError)
    assert isinstance(results[1], Progress)
    ours.release(bad)
    # The short text reads as far as its longer neighbour.
    short = sequence(calm[:3], 5)
    ours.begin(short)
    ours.step([Span(short, 3)])
    for _ in range(4):
        ours.step([Span(short, 1), Span(fine, 1)])
    assert made(short) == expected(stock, calm[:3], 5)
    assert made(fine) == expected(stock, calm, 5)


def random_life(
    ours: TextDecoder, stock: Any, common: Sequence[int], own: int, bound: float = math.inf
) -> int:
    """300 times somebody joins, goes on, makes way or leaves; returns how often state was reused.

    Prompts begin with one of the lengths of `common`, up to `own` tokens follow. The decoder
    never holds more than `bound` tokens, and nothing is left in the end.
    """
    drawn = random.Random(1)
    running: dict[DecoderSequence, int] = {}
    evicted: list[DecoderSequence] = []
    ended = reused = 0
    for seed in range(300):
        act = drawn.choice(["begin", *["step"] * 9, "evict"] + ["release"] * (seed % 3 == 0))
        if act == "begin" and len(running) < 4:
            begun = tokens(drawn.choice(common), seed=0)
            text = sequence([*begun, *tokens(drawn.randint(1, own), seed)], 3)
            text = evicted.pop() if evicted and drawn.random() < 0.6 else text
            running[text] = ours.begin(text)
            reused += running[text] > 0
        elif act == "evict" and running:
            evicted.append(drawn.choice(list(running)))
            ours.evict(evicted[-1])
            del running[evicted[-1]]
        elif act == "release" and running:
            text = drawn.choice(list(running))
            ours.release(text)
            del running[text]
        elif act == "step":
            ended += _random_step(ours, stock, running, drawn)
        assert ours.held_tokens <= bound
        assert ours.running == len(running)
    assert ended > 10
    for text in [*running, *evicted]:
        ours.release(text)
    assert ours.running == 0
    assert ours.texts == 0
    # The next text has all the memory there is.
    finish(ours, [sequence(tokens(120, seed=99), 8)])
    return reused


def _random_step(
    ours: TextDecoder, stock: Any, running: dict[DecoderSequence, int], drawn: random.Random
) -> int:
    """Let some of the texts go on; returns how many of them ended."""
    chosen = drawn.sample(list(running), drawn.randint(len(running) // 2, len(running)))
    rest = [len(one.ids) - running[one] for one in chosen]
    spans = [
        Span(one, drawn.randint((left + 1) // 2, left))
        for one, left in zip(chosen, rest, strict=True)
    ]
    ended = 0
    for item, result in zip(spans, ours.step(spans), strict=True):
        assert isinstance(result, Progress), result
        text = item.sequence
        running[text] += item.count
        if len(made(text)) == 3:
            assert made(text) == expected(stock, list(text.prompt.ids), 3)
            ended += 1
            ours.release(text)
            del running[text]
    return ended
