"""A beam search finds what transformers' `generate` finds, alone and beside others."""

import random
from typing import Any

import pytest
import torch

from lepton_testing.seq2seq import SEEDS, TEXTS, build, expected, sequence, side_by_side
from lepton_testing.slot_decoders import LONGEST, made, tokens
from lepton_worker.backends.base import DecoderSequence, Progress, Span
from lepton_worker.errors import InternalError, InvalidRequest
from lepton_worker.request import Beams

pytestmark = pytest.mark.component

NEW = 12
ENDS = [5, 6, 7, 8, 9]
SAID: list[dict[str, Any]] = [
    {},
    {"length_penalty": 2.0, "early_stopping": True},
    {"length_penalty": 0.4},
    {"length_penalty": 1.5, "early_stopping": "never"},
    {"length_penalty": -1.0, "early_stopping": "never"},
    {"min_new_tokens": 7, "early_stopping": True},
    {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    {"forced_bos_token_id": 11, "forced_eos_token_id": 9},
    {"bad_words_ids": [[token] for token in range(20, 60)], "begin_suppress_tokens": [5, 7]},
]


def searching(family: str, said: dict[str, Any] = {}, ends: Any = ENDS, beams: int = 4) -> Any:  # noqa: B006
    """A model that asks for beams and ends its answers now and then."""
    module = build(family, SEEDS.get(family, 4))
    config = module.generation_config
    config.eos_token_id, config.pad_token_id, config.num_beams = ends, 0, beams
    for name, value in said.items():
        setattr(config, name, value)
    return module


def text_of(module: Any, prompt: list[int], count: int = NEW, **more: Any) -> DecoderSequence:
    """A text, to be answered as the model's config asks."""
    config = module.generation_config
    ends = config.forced_eos_token_id
    asked: dict[str, Any] = {
        "beams": Beams(
            config.num_beams,
            1.0 if config.length_penalty is None else config.length_penalty,
            config.early_stopping or False,
            () if ends is None else (ends,),
        ),
        "min_new_tokens": config.min_new_tokens or 0,
        "repetition_penalty": config.repetition_penalty or 1.0,
    }
    return sequence(module, prompt, count, **{**asked, **more})


def searched(module: Any, prompt: list[int], count: int = NEW, **more: Any) -> list[int]:
    """The answer that transformers finds."""
    with torch.inference_mode():
        whole = module.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            **more,
        )
    answer: list[int] = whole[0, 1:].tolist()
    return answer


def run_all(ours: Any, waiting: list[DecoderSequence], slots: int = 3, chunk: int = 20) -> int:
    """Run texts that join one after another until all have ended; the most in a batch."""
    waiting, known, most = list(waiting), dict[DecoderSequence, int](), 0
    while waiting or known:
        if waiting and len(known) < slots:
            known[waiting[0]] = ours.begin(waiting[0])
            waiting.pop(0)
        spans = [Span(text, min(chunk, text.length - known[text])) for text in known]
        for item, result in zip(spans, ours.step(spans), strict=True):
            assert isinstance(result, Progress), result
            known[item.sequence] += item.count
            if has_ended(item.sequence, result):
                ours.release(item.sequence)
                del known[item.sequence]
        most = max(most, getattr(ours, "batched", 0))
    return most


def has_ended(text: DecoderSequence, result: Progress) -> bool:
    if text.search is not None:
        assert result.searching != text.search.done or result.token is None
        return bool(result.answer)
    answer = made(text)
    return len(answer) == text.sampling.max_new_tokens or answer[-1:] in [
        [end] for end in text.sampling.ends
    ]


@pytest.mark.parametrize(
    ("family", "said"),
    [
        *(pytest.param("bart", said, id=f"bart-{'-'.join(said)}") for said in SAID),
        *(pytest.param("t5", said, id=f"t5-{'-'.join(said)}") for said in SAID[::3]),
    ],
)
def test_what_the_generation_config_asks_for(family: str, said: dict[str, Any]) -> None:
    module = searching(family, said)
    ours = side_by_side(module)
    prompts = [tokens(5 + 3 * seed, seed) for seed in range(5)]
    texts = [text_of(module, prompt) for prompt in prompts]
    assert run_all(ours, texts) > 1
    answers = [searched(module, prompt) for prompt in prompts]
    assert [made(text) for text in texts] == answers
    assert answers != [expected(module, prompt, NEW) for prompt in prompts] or said


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("family", ["t5", "bart", "marian", "mbart", "m2m100", "pegasus"])
def test_beside_greedy_texts_and_other_widths(name: str, family: str) -> None:
    module = searching(family, ends=[5, 6], beams=3)
    ours = TEXTS[name](module, slots=4)
    prompts = [tokens(count, seed=count) for count in (9, 4, 17, 1, 14, 3)]
    widths = [3, 1, 5, 2, 1, 3]
    texts = [
        text_of(module, prompt, beams=Beams(width))
        for prompt, width in zip(prompts, widths, strict=True)
    ]
    run_all(ours, texts, slots=4)
    for text, prompt, width in zip(texts, prompts, widths, strict=True):
        assert made(text) == searched(module, prompt, num_beams=width)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("family", ["t5", "bart", "m2m100"])
def test_a_search_that_loses_its_slot_goes_on(name: str, family: str) -> None:
    module = searching(family, ends=None)
    ours = TEXTS[name](module)
    prompt, other = tokens(11, seed=3), tokens(20, seed=4)
    text, beside = text_of(module, prompt), text_of(module, other)
    known = ours.begin(text)
    for step in range(300):
        count = min(7, text.length - known)
        [result] = ours.step([Span(text, count)])
        assert isinstance(result, Progress), result
        known += count
        if result.answer:
            break
        if step % 4 == 3 and known + 1 == text.length:
            ours.evict(text)
            known = ours.begin(text)
    ours.release(text)
    run_all(ours, [beside])
    assert made(text) == searched(module, prompt)
    assert made(beside) == searched(module, other)


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("room", [200, 1 << 20])
def test_random_joins_evictions_and_releases(family: str, room: int) -> None:
    drawn, module = random.Random(2), searching(family, ends=[5, 6, 7])
    ours = side_by_side(module, room=room)
    running: dict[DecoderSequence, int] = {}
    evicted: list[DecoderSequence] = []
    ended = 0
    for seed in range(150):
        act = drawn.choice(["begin"] * 2 + ["step"] * 9 + ["evict"] + ["release"] * (seed % 9 == 0))
        if act == "begin" and len(running) < 4:
            beams = Beams(drawn.choice([1, 2, 4]))
            prompt = tokens(drawn.randint(1, 20), seed)
            text = text_of(module, prompt, drawn.randint(1, 9), beams=beams)
            text = evicted.pop() if evicted and drawn.random() < 0.6 else text
            running[text] = ours.begin(text)
        elif act in ("evict", "release") and running:
            text = drawn.choice(list(running))
            evicted += [text] if act == "evict" else []
            (ours.evict if act == "evict" else ours.release)(text)
            del running[text]
        elif act == "step":
            chosen = drawn.sample(list(running), drawn.randint(len(running) // 2, len(running)))
            spans = [
                Span(one, drawn.randint((one.length - running[one] + 1) // 2, one.length - at))
                for one, at in ((one, running[one]) for one in chosen)
            ]
            for item, result in zip(spans, ours.step(spans), strict=True):
                assert isinstance(result, Progress), result
                text = item.sequence
                running[text] += item.count
                if result.written and has_ended(text, result):
                    count, width = text.sampling.max_new_tokens, text.sampling.beams.count
                    answer = searched(module, list(text.prompt.ids), count, num_beams=width)
                    assert made(text) == answer
                    ended += 1
                    ours.release(text)
                    del running[text]
        assert ours.held_tokens <= room
    assert ended > 10


@pytest.mark.parametrize("name", TEXTS)
def test_a_decoder_that_begins_with_the_language(name: str) -> None:
    module = searching("mbart", ends=[5, 6])
    ours = TEXTS[name](module, languages={"en": 2, "de": 9})
    prompt = tokens(12, seed=1)
    texts = [text_of(module, prompt, NEW, forced=(9,)) for _ in range(2)]
    run_all(ours, texts)
    answer = searched(module, prompt, NEW - 1, decoder_start_token_id=9)
    assert [made(text) for text in texts] == [[9, *answer]] * 2
    short = text_of(module, prompt, 1, forced=(9,))
    run_all(ours, [short])
    assert made(short) == [9]


@pytest.mark.parametrize("name", TEXTS)
def test_prompt_and_answer_of_full_length(name: str) -> None:
    module = searching("marian", ends=None, beams=2)
    prompt = tokens(LONGEST, seed=5)
    text = text_of(module, prompt, LONGEST)
    run_all(TEXTS[name](module), [text], chunk=LONGEST)
    assert made(text) == searched(module, prompt, LONGEST)


@pytest.mark.parametrize("guilty", ["greedy", "searched"])
def test_one_that_fails_in_a_batch_fails_alone(
    guilty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = searching("bart", ends=None)
    ours = side_by_side(module)
    prompts = [tokens(count, seed=count) for count in (9, 12, 7, 14)]
    widths = [1, 4, 1, 4]
    texts = [
        text_of(module, prompt, beams=Beams(width))
        for prompt, width in zip(prompts, widths, strict=True)
    ]
    bad = texts[0 if guilty == "greedy" else 1]
    for text in texts:
        ours.begin(text)
    for count in (None, 1, 1):
        ours.step([Span(text, count or len(text.prompt)) for text in texts])
    assert ours.batched == 4
    forward = type(module).forward

    def failing(self: Any, **given: Any) -> Any:
        if len(bad.prompt) in given["attention_mask"].sum(-1).tolist():
            raise RuntimeError("this text is more than the model can take")
        return forward(self, **given)

    monkeypatch.setattr(type(module), "forward", failing)
    results = ours.step([Span(text, 1) for text in texts])
    assert isinstance(results[texts.index(bad)], InternalError)
    assert sum(isinstance(result, Progress) for result in results) == 3
    monkeypatch.undo()
    ours.release(bad)
    rest = [text for text in texts if text is not bad]
    assert ours.batched == 3
    running = list(rest)
    while running:
        for text, result in zip(running, ours.step([Span(t, 1) for t in running]), strict=True):
            assert isinstance(result, Progress), result
            if has_ended(text, result):
                ours.release(text)
        running = [t for t in running if len(made(t)) < NEW]
    for text in rest:
        place = texts.index(text)
        assert made(text) == searched(module, prompts[place], num_beams=widths[place])


def test_bans_that_leave_nothing_fail_the_text_alone() -> None:
    module = searching("t5", ends=None)
    module.generation_config.suppress_tokens = list(range(module.config.vocab_size))
    ours = side_by_side(module)
    text = text_of(module, tokens(5, 1))
    ours.begin(text)
    [result] = ours.step([Span(text, 5)])
    assert isinstance(result, InvalidRequest)
